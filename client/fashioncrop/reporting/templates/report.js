// Niceties only: the page is whole without them.
(() => {
  "use strict";
  const KEY = "fashioncrop-theme";
  const themes = [...document.querySelectorAll("input[name=theme]")];
  try {
    const kept = localStorage.getItem(KEY);
    for (const theme of themes) theme.checked = theme.value === kept || (theme.checked && !kept);
  } catch { /* a page from a file may have no storage */ }
  for (const theme of themes) {
    theme.addEventListener("change", () => {
      try { localStorage.setItem(KEY, theme.value); } catch { /* as above */ }
    });
  }

  // A garment shines in the photo and in the list: the one under the pointer, else the one with the keyboard's focus,
  // else the one that was clicked last.
  const nameAt = (target) => (target instanceof Element && target.closest("[data-garment]")?.dataset.garment) || "";
  let pointed = "", chosen = "", lit = "";
  const light = () => {
    const focused = document.activeElement?.matches(":focus-visible") ? nameAt(document.activeElement) : "";
    const name = pointed || focused || chosen;
    if (name === lit) return;
    for (const element of document.querySelectorAll(".lit")) element.classList.remove("lit");
    for (const element of name ? document.querySelectorAll(`[data-garment="${name}"]`) : []) element.classList.add("lit");
    lit = name;
  };
  document.addEventListener("pointerover", (event) => { pointed = nameAt(event.target); light(); });
  document.documentElement.addEventListener("pointerleave", () => { pointed = ""; light(); });
  document.addEventListener("focusin", light);
  document.addEventListener("focusout", () => queueMicrotask(light));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") { chosen = ""; light(); } });

  // From box to card and back, no further than needed, so that the photo stays in sight.
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a.box, a.title") : null;
    chosen = nameAt(link);
    const there = link && document.getElementById(link.getAttribute("href").slice(1));
    if (there && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      (there.closest(".stage") || there).scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
      (there.querySelector("a.title") || there).focus({ preventScroll: true });
    }
    light();
  });

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const details of closed) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of closed) details.open = false;
  });
})();
