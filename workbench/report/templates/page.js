"use strict";
const byId = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text; // never markup: these are outputs of a model
  return element;
};

const flipData = byId("flip-data");
if (flipData) {
  const flips = JSON.parse(flipData.textContent);
  const PAGE = 10;
  let shown = PAGE;
  const box = (label, text) => {
    const side = make("div");
    const body = make("div", text ? "text" : "text empty", text || "(empty)");
    Object.assign(body, { dir: "auto", role: "group", ariaLabel: label });
    // As in macros.html.j2: only what may have to be scrolled is a stop of the keyboard.
    if (text && (text.length > 200 || text.split("\n").length > 7)) body.tabIndex = 0;
    side.append(make("h4", "", label), body);
    return side;
  };
  const card = (flip) => {
    const article = make("article", "flip");
    const title = make("h3");
    title.append(make("span", "state neutral", flip.kind === "forgotten" ? "▽ forgotten" : "△ learned"));
    title.append(make("span", "", flip.suite + (flip.group ? " · " + flip.group : "")));
    const sides = make("div", "sides three");
    const lost = flip.kind === "forgotten";
    sides.append(box("Expected", flip.target), box("Before " + (lost ? "✓" : "✗"), flip.before),
      box("After " + (lost ? "✗" : "✓"), flip.after));
    article.append(title, box("Prompt", flip.prompt), sides);
    return article;
  };
  const show = () => {
    const text = byId("flip-text").value.trim().toLowerCase();
    const suite = byId("flip-suite").value;
    const kind = byId("flip-kind").value;
    const found = flips.filter((flip) => (!suite || flip.suite === suite) && (!kind || flip.kind === kind) &&
      (!text || [flip.prompt, flip.target, flip.before, flip.after, flip.group].join("\n").toLowerCase().includes(text)));
    byId("flip-list").replaceChildren(...found.slice(0, shown).map(card));
    byId("flip-status").textContent = `${found.length} of ${flips.length} match` +
      (found.length > shown ? `, ${shown} shown` : "");
    byId("flip-more").hidden = found.length <= shown;
  };
  for (const id of ["flip-text", "flip-suite", "flip-kind"]) {
    byId(id).addEventListener("input", () => { shown = PAGE; show(); });
  }
  byId("flip-more").addEventListener("click", () => { shown += 4 * PAGE; show(); });
  byId("flip-filters").hidden = false;
  show();
}

const form = byId("sign-form");
const id = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const decide = () => {
  const who = byId("decision-who").value.trim();
  const chosen = form.querySelector("input[type=radio]:checked");
  byId("decision-json").textContent = JSON.stringify({
    schema_version: 1, id, at: new Date().toISOString(), who, kind: "sign_off",
    target: form.dataset.target, verdict: chosen ? chosen.value : "",
    note: byId("decision-note").value,
  }, null, 2);
  byId("decision-status").textContent = who && chosen ? "" : "Still needed: " + (who ? "a decision." : "a name.");
  return who && chosen;
};
form.addEventListener("input", decide);
form.addEventListener("submit", (event) => event.preventDefault());
byId("decision-copy").hidden = false;
byId("decision-copy").addEventListener("click", async () => {
  if (!decide()) return;
  try {
    await navigator.clipboard.writeText(byId("decision-json").textContent);
    byId("decision-status").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(byId("decision-json"));
    byId("decision-status").textContent = "Selected: copy it with the keyboard.";
  }
});
