"use strict";
(() => {
  const form = document.querySelector(".sieve");
  const [words, verdict, latest, count] = ["words", "verdict", "latest", "count"].map((id) => document.getElementById(id));
  const rows = [...document.querySelectorAll(".shelf tbody tr")].map((row) => ({ row, text: row.textContent.toLowerCase() }));
  const audits = document.querySelectorAll("#audits tbody tr").length;

  function sift() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { row, text } of rows) {
      row.hidden = !(wanted.every((word) => text.includes(word)) &&
        (!verdict.value || row.dataset.verdict === verdict.value) &&
        (!latest.checked || row.dataset.latest === "yes"));
    }
    const shown = document.querySelectorAll("#audits tbody tr:not([hidden])").length;
    count.textContent = `${shown} of ${audits} audits shown`;
  }

  function remember() {
    const said = new URLSearchParams();
    if (words.value) said.set("words", words.value);
    if (verdict.value) said.set("verdict", verdict.value);
    if (latest.checked) said.set("latest", "yes");
    history.replaceState(null, "", said.size ? `#?${said}` : location.pathname + location.search);
  }

  function recall() {
    if (!location.hash.startsWith("#?")) return;
    const said = new URLSearchParams(location.hash.slice(2));
    words.value = said.get("words") ?? "";
    verdict.value = said.get("verdict") ?? "";
    latest.checked = said.get("latest") === "yes";
  }

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => { sift(); remember(); });
  addEventListener("hashchange", () => { recall(); sift(); });
  recall();
  sift();
})();
