"use strict";
(() => {
  const form = document.getElementById("sift");
  const cards = [...document.querySelectorAll("#findings .finding")].map((card) => ({ card, text: card.textContent.toLowerCase() }));

  const heads = [...document.querySelectorAll(".picker button")];

  function made(tag, text, attributes = {}) {
    const element = document.createElement(tag);
    element.textContent = text;
    return Object.assign(element, attributes);
  }

  function pick(button) {
    for (const each of heads) {
      each.tabIndex = each === button ? 0 : -1;
      each.setAttribute("aria-pressed", each === button);
    }
    const [layer, head] = button.id.split("-").slice(1);
    const values = button.dataset.values.split("|");
    const about = made("div", "");
    about.append(made("h4", button.getAttribute("aria-label")));
    const picture = button.querySelector("img");
    if (picture) about.append(Object.assign(picture.cloneNode(), { width: 192, height: 192 }));
    for (const { card } of cards.filter(({ card }) => card.dataset.layer === layer && card.dataset.head === head)) {
      const title = made("p", "");
      title.append(made("a", card.querySelector("h3").textContent, { href: `#${card.id}` }));
      about.append(title, ...[...card.querySelectorAll('a[href^="#exhibit-"]')].map((link) => link.cloneNode(true)));
    }
    const numbers = made("ul", "", { className: "numbers" });
    button.closest("table").dataset.names.split("|").forEach((name, place) => {
      const row = made("li", "");
      row.append(made("span", name), made("b", values[place] || "not measured"));
      if (name) numbers.append(row);
    });
    const picked = document.getElementById("picked");
    picked.replaceChildren(about, numbers);
    picked.hidden = false;
    button.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  function move(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const rows = [...document.querySelectorAll(".picker tr")].map((row) => [...row.querySelectorAll("button")]);
    const row = rows.findIndex((each) => each.includes(event.target));
    const column = rows[row].indexOf(event.target);
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -column], End: [0, Infinity] }[event.key] ?? [0, 0];
    if (!down && !right && event.key !== "Home") return;
    event.preventDefault();
    const across = rows[Math.min(Math.max(row + down, 0), rows.length - 1)];
    const next = across[Math.min(Math.max(column + right, 0), across.length - 1)];
    for (const each of heads) each.tabIndex = each === next ? 0 : -1;
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  function unfold() {
    const target = document.getElementById(location.hash.slice(1)); // our ids need no decoding
    if (heads.includes(target)) pick(target);
    for (let at = target; at; at = at.parentElement) {
      if (at.tagName === "DETAILS") at.open = true;
      if (at.hidden) at.hidden = false;
    }
    tell();
    if (target) target.scrollIntoView();
  }

  function sift() {
    const [words, severity, order] = ["words", "severity", "order"].map((id) => document.getElementById(id));
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { card, text } of cards) {
      const kept = wanted.every((word) => text.includes(word)) && (!severity.value || card.dataset.severity === severity.value);
      card.hidden = !kept;
    }
    const place = ({ card }) => (card.dataset.layer === "" ? -1 : Number(card.dataset.layer));
    const rank = ({ card }) => Number(card.dataset.order);
    const sorted = [...cards].sort((a, b) => (order.value === "layer" && place(a) - place(b)) || rank(a) - rank(b));
    form.after(...sorted.map(({ card }) => card));
    tell();
  }

  function tell() {
    const count = document.getElementById("count");
    if (count) count.textContent = `${cards.filter(({ card }) => !card.hidden).length} of ${cards.length} findings shown`;
  }

  if (form) {
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", sift);
    tell();
  }
  for (const hint of document.querySelectorAll(".hint")) hint.hidden = false;
  heads.forEach((button, place) => {
    button.tabIndex = place ? -1 : 0;
    button.addEventListener("click", () => {
      history.replaceState(null, "", `#${button.id}`);
      pick(button);
    });
    button.addEventListener("keydown", move);
  });
  addEventListener("hashchange", unfold);
  if (location.hash.length > 1) unfold();
})();
