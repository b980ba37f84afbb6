"use strict";
(() => {
  const form = document.getElementById("sift");
  const cards = [...document.querySelectorAll("#findings .finding")].map((card) => ({ card, text: card.textContent.toLowerCase() }));

  function unfold() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = target; at; at = at.parentElement) {
      if (at.tagName === "DETAILS") at.open = true;
      if (at.hidden) at.hidden = false;
    }
    if (target) target.scrollIntoView();
  }

  function sift() {
    const [words, severity, order, count] = ["words", "severity", "order", "count"].map((id) => document.getElementById(id));
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { card, text } of cards) {
      const kept = wanted.every((word) => text.includes(word)) && (!severity.value || card.dataset.severity === severity.value);
      card.hidden = !kept;
      if (kept) shown += 1;
    }
    const place = ({ card }) => (card.dataset.layer === "" ? -1 : Number(card.dataset.layer));
    const rank = ({ card }) => Number(card.dataset.order);
    const sorted = [...cards].sort((a, b) => (order.value === "layer" && place(a) - place(b)) || rank(a) - rank(b));
    form.after(...sorted.map(({ card }) => card));
    count.textContent = `${shown} of ${cards.length} findings shown`;
  }

  if (form) {
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", sift);
    document.getElementById("count").textContent = `${cards.length} of ${cards.length} findings shown`;
  }
  addEventListener("hashchange", unfold);
  if (location.hash.length > 1) unfold();
})();
