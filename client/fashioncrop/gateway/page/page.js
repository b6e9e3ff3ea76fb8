// Asks the gateway about one photo, and shows what it answers as the report does.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const form = $("asking"), file = $("file"), url = $("url"), drop = $("drop"), preview = $("preview");
  const phrase = $("phrase"), list = $("phrases"), threshold = $("threshold"), key = $("key");
  const KEY = "fashioncrop-key";
  const searching = $("searching"), found = $("found");
  let photo = null, asked = null, answer = null;

  const remembered = (write) => {
    try { return write ? sessionStorage.setItem(KEY, key.value) : sessionStorage.getItem(KEY); } catch { return null; }
  };
  key.value = remembered(false) || "";

  // The photo: one of a file, what was pasted or dropped, the sample; or an address.
  const choose = (blob, name) => {
    if (preview.src) URL.revokeObjectURL(preview.src);
    photo = blob ? { blob, name } : null;
    preview.hidden = !blob;
    if (blob) preview.src = URL.createObjectURL(blob); else preview.removeAttribute("src");
    $("chosen").textContent = blob ? name : "Drop a photo here, or paste one.";
    if (blob) url.value = "";
  };
  preview.addEventListener("error", () => { preview.hidden = true; });
  file.addEventListener("change", () => { if (file.files[0]) choose(file.files[0], file.files[0].name); });
  url.addEventListener("input", () => { if (url.value) { file.value = ""; choose(null); } });
  const taken = (transfer) => {
    const found = [...(transfer?.files || [])].find((one) => one.type.startsWith("image/"));
    if (found) { file.value = ""; choose(found, found.name || "pasted"); }
    return Boolean(found);
  };
  document.addEventListener("paste", (event) => {
    if (taken(event.clipboardData)) event.preventDefault();
    else if (!event.target.closest?.("input")) {
      const text = event.clipboardData?.getData("text/plain").trim() || "";
      if (/^https?:\/\/\S+$/.test(text)) { url.value = text; url.dispatchEvent(new Event("input")); }
    }
  });
  document.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (!taken(event.dataTransfer)) tell("What was dropped is no photo.");
  });
  $("sample").addEventListener("click", () => attempt("Drawing a sample\u2026", async (signal) => {
    const response = await fetch("/ui/sample.jpg", { signal });
    if (!response.ok) throw await problem(response);
    choose(await response.blob(), "drawn sample");
    return "";
  }));

  // The vocabulary. The list is where it is kept, and what is not changed stays as it is: the keyboard may be on it.
  const phrases = () => [...list.children].map((item) => item.firstChild.textContent);
  const item = (text) => {
    const made = document.createElement("li"), words = document.createElement("bdi"), button = document.createElement("button");
    words.textContent = text;
    button.type = "button";
    button.textContent = "\u00d7";
    button.setAttribute("aria-label", `Remove ${text}`);
    button.addEventListener("click", () => {
      const next = made.nextElementSibling || made.previousElementSibling;
      made.remove();
      (next?.querySelector("button") || phrase).focus();
    });
    made.append(words, button);
    return made;
  };
  const add = (text) => {
    const known = phrases();
    const given = text.split(/[,.\n]/).map((one) => one.trim()).filter((one) => one && !known.includes(one));
    list.append(...[...new Set(given)].map(item));
    phrase.value = "";
  };
  phrase.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" || event.key === ",") && !event.isComposing) {
      if (event.key === "," || phrase.value.trim()) event.preventDefault();
      add(phrase.value);
    } else if (event.key === "Backspace" && !phrase.value && list.lastChild) {
      phrase.value = list.lastChild.firstChild.textContent;
      list.lastChild.remove();
      event.preventDefault();
    }
  });
  phrase.addEventListener("blur", () => add(phrase.value));
  $("defaults").addEventListener("click", () => attempt("Asking for them\u2026", async (signal) => {
    const response = await fetch("/ui/vocabulary", { headers: credentials(), signal });
    if (!response.ok) throw await problem(response);
    list.replaceChildren();
    add((await response.json()).join(","));
    return `${phrases().length} phrases.`;
  }));
  threshold.addEventListener("input", () => { $("threshold-value").value = Number(threshold.value).toFixed(2); });

  // Asking.
  const credentials = () => (key.value.trim() ? { Authorization: `Bearer ${key.value.trim()}` } : {});
  const problem = async (response) => {
    const found = await response.json().catch(() => ({}));
    const error = new Error(found.detail || `The gateway answered with status ${response.status}.`);
    error.status = response.status;
    error.id = found.request_id;
    return error;
  };
  const tell = (words) => {
    const box = $("problem");
    box.hidden = !words;
    box.textContent = words;
  };
  const attempt = async (words, work) => {
    asked?.abort();
    const mine = asked = new AbortController();
    tell("");
    $("status").textContent = words;
    document.body.classList.add("busy");
    $("go").disabled = $("search").disabled = true;
    $("stop").hidden = false;
    try {
      $("status").textContent = await work(mine.signal);
    } catch (error) {
      $("status").textContent = error.name === "AbortError" ? "Stopped." : "";
      if (error.name !== "AbortError") {
        tell(error.id ? `${error.message} (request ${error.id})` : error.status ? error.message : "The gateway cannot be reached.");
        if (error.status === 401 || error.status === 403) key.focus();
      }
    } finally {
      if (asked === mine) {
        document.body.classList.remove("busy");
        $("go").disabled = $("search").disabled = false;
        $("stop").hidden = true;
      }
    }
  };
  $("stop").addEventListener("click", () => asked?.abort());

  const post = async (path, shown, options, signal) => {
    let body = JSON.stringify({ ...(shown?.url && { image: { url: shown.url } }), ...options });
    let headers = { "Content-Type": "application/json" };
    if (shown?.blob) {
      body = new FormData();
      body.append("image", shown.blob, shown.name);
      for (const [name, value] of Object.entries(options)) for (const one of [value].flat()) body.append(name, one);
      headers = {};
    }
    const response = await fetch(path, { method: "POST", body, headers: { ...headers, ...credentials() }, signal });
    if (!response.ok) throw await problem(response);
    return response.json();
  };
  const wishes = () => ({
    threshold: Number(threshold.value), crops: true, ...(list.firstChild && { vocabulary: phrases() }),
    mode: $("describe").checked ? $("describe").dataset.mode : "off", detector: $("detector").value,
  });
  const show = (part) => {
    part.focus({ preventScroll: true });
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    part.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
  };
  const count = (number, one) => `${number} ${number === 1 ? one : one + "s"}`;
  const seconds = (start) => `${((performance.now() - start) / 1000).toFixed(1)} s`;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    add(phrase.value);
    if (!photo && !url.value.trim()) {
      tell("Choose a photo first.");
      file.focus();
      return;
    }
    remembered(true);
    const start = performance.now();
    attempt("Looking\u2026", async (signal) => {
      const shown = photo || { url: url.value.trim() };
      answer = await post("/ui/analyze", shown, wishes(), signal);
      const result = $("result");
      result.innerHTML = answer.html; // made by the gateway's own template, which escapes every text
      const save = document.createElement("button");
      save.type = "button";
      save.className = "button";
      save.textContent = "Save as JSON";
      save.addEventListener("click", () => download(answer.analysis));
      result.append(save);
      found.hidden = true;
      if (!searching.hidden) offerSimilar(result, shown, answer.analysis.garments);
      show(result);
      return `${count(answer.analysis.garments.length, "garment")} in ${seconds(start)}.`;
    });
  });
  const download = (analysis) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(analysis, null, 2)], { type: "application/json" }));
    link.download = "analysis.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  // The catalogue. Whatever comes out of it is put in as text.
  const make = (kind, name, ...inside) => {
    const made = document.createElement(kind);
    if (name) made.className = name;
    made.append(...inside.filter((one) => one !== null));
    return made;
  };
  const button = (words, told, work) => {
    const made = make("button", "button", words);
    made.type = "button";
    made.setAttribute("aria-label", `${words}: ${told}`);
    made.addEventListener("click", work);
    return made;
  };
  const search = (title, query, shown) => {
    remembered(true);
    const start = performance.now();
    const only = Object.fromEntries(["category", "colour"].map((name) => [name, $(name).value.trim()]).filter(([, text]) => text));
    attempt("Searching\u2026", async (signal) => {
      const filters = Object.fromEntries(Object.entries(only).map(([name, text]) => [name, [text]]));
      const answered = await post("/v1/search", shown, { ...query, ...filters, limit: 12, crops: true }, signal);
      const photos = answered.found.flatMap((one) => one.photos);
      const heading = make("h2", "", ...title);
      heading.id = "found-title";
      const facts = [count(photos.length, "photo"), ...Object.values(only).map((text) => `only ${text}`)];
      found.replaceChildren(make("div", "heading", heading, make("ul", "facts", ...facts.map((fact) => make("li", "", fact)))));
      if (answered.warnings.length) {
        found.append(make("div", "warnings", make("ul", "", ...answered.warnings.map((words) => make("li", "", words)))));
      }
      found.append(photos.length ? make("ol", "cards", ...photos.map(card)) : make("p", "nothing", "No garment of the catalogue passes the filters."));
      found.hidden = false;
      show(found);
      return `${count(photos.length, "photo")} in ${seconds(start)}.`;
    });
  };
  const picture = ({ garment }) => {
    if (!garment.crop.url) return make("p", "small", "Neither crop nor photo can be read any more.");
    const image = make("img");
    image.alt = `Cut-out: ${garment.phrase}`;
    image.src = garment.crop.url;
    return image;
  };
  const dot = ({ hex, name }) => {
    const swatch = make("span", "dot");
    swatch.style.backgroundColor = hex;
    return make("li", "", swatch, name);
  };
  const where = ({ source, link, width, height }) => {
    const place = make(link ? "a" : "bdi", "", source);
    if (link) place.href = link;
    return make("p", "where", place, " ", make("span", "share", `${width} \u00d7 ${height} px`));
  };
  const card = (one, index) => {
    const [best, ...others] = one.garments, { garment } = best;
    const title = make("h3", "", make("span", "title", make("span", "number", String(index + 1)), make("span", "unseen", ", "), make("bdi", "phrase", garment.phrase)));
    const made = make("li", "card",
      make("div", "summary", make("div", "crop", picture(best)), make("div", "what", title,
        garment.category && make("p", "category", garment.category.name),
        make("p", "score", `Similarity ${best.similarity.toFixed(3)}`))),
      garment.description && make("p", "sentence", garment.description.sentence),
      make("ul", "dots", ...garment.colours.slice(0, 3).map(dot)),
      where(one),
      others.length ? make("p", "small", `Also in it: ${others.map((other) => `${other.garment.phrase} (${other.similarity.toFixed(3)})`).join(", ")}`) : null,
      button("Find similar", `${index + 1}, ${garment.phrase}`, () => search([`Like ${garment.phrase}, in ${one.name}`], { garment: best.id })));
    return made;
  };
  const offerSimilar = (result, shown, garments) => {
    garments.forEach(({ phrase, box_xyxy }, index) => {
      const place = result.querySelector(`#p1g${index}`), words = `${index + 1}, ${phrase}`;
      place?.append(button("Find similar", words, () => {
        const back = make("a", "", words);
        back.href = `#${place.id}`;
        search(["Like ", back], { box_xyxy }, shown);
      }));
    });
  };
  searching.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = $("words").value.trim();
    if (words) search([`\u201c${words}\u201d`], { words });
    else { tell("Say what it looks like."); $("words").focus(); }
  });
})();
