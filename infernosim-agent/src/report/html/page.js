"use strict";
(() => {
  const form = document.getElementById("filter");
  const [text, off, said] = ["text", "off", "said"].map((name) => form.elements[name]);
  const kinds = [...form.querySelectorAll("[data-shows]")];
  const items = [...document.querySelectorAll("[data-kind]")];
  const words = items.map((item) => item.textContent.toLowerCase());
  const apply = () => {
    const wanted = text.value.trim().toLowerCase();
    const shown = new Set(kinds.filter((box) => box.checked).map((box) => box.dataset.shows));
    let count = 0;
    items.forEach((item, at) => {
      const fits = shown.has(item.dataset.kind) && (!off.checked || "off" in item.dataset) && words[at].includes(wanted);
      item.hidden = !fits;
      count += fits;
    });
    said.value = `${count} of ${items.length} shown`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== text) {
      event.preventDefault();
      text.focus();
    } else if (event.key === "Escape" && document.activeElement === text) {
      text.value = "";
      apply();
    }
  });
  form.hidden = false;
  apply();
})();
