// Unpacks plotly.js, draws every figure in the scheme of the page, and draws again for the other scheme and for paper.
const read = (id) => document.getElementById(`report-${id}`).textContent;
const places = [...document.querySelectorAll(".figure")];
const printed = [...document.querySelectorAll("details.printed")];
const dark = matchMedia("(prefers-color-scheme: dark)");
const PAPER = 660;  // pixels: what fits between the margins of A4 and Letter

const shown = (place) => !place.closest("details.chapter:not([open])");

// A link into a chapter that is folded opens it.
function unfold() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const chapter = target && target.closest("details.chapter");
  if (chapter && !chapter.open) { chapter.open = true; target.scrollIntoView(); }
}
addEventListener("hashchange", unfold);
unfold();

async function unpack() {
  const bytes = Uint8Array.from(atob(read("plotly").trim()), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function drawer(figures, templates) {
  return (scheme, width, within = document) => Promise.all(places.filter((place) => within.contains(place) && shown(place)).map((place) => {
    const { data, layout } = structuredClone(figures[place.dataset.figure]);
    const size = width ? { width, autosize: false } : { width: undefined, autosize: true };
    return Plotly.react(place, data, { ...layout, ...size, template: templates[scheme] },
      { responsive: true, displaylogo: false, displayModeBar: false });
  }));
}

addEventListener("beforeprint", () => printed.forEach((part) => { part.dataset.open = part.open; part.open = true; }));
addEventListener("afterprint", () => printed.forEach((part) => { part.open = part.dataset.open === "true"; }));

if (places.length) {
  try {
    await unpack();
    const draw = drawer(JSON.parse(read("figures")), JSON.parse(read("templates")));
    const forScreen = () => draw(dark.matches ? "dark" : "light");
    dark.addEventListener("change", forScreen);
    addEventListener("beforeprint", () => draw("light", PAPER));
    addEventListener("afterprint", forScreen);
    for (const chapter of document.querySelectorAll("details.chapter")) {
      chapter.addEventListener("toggle", () => chapter.open && draw(dark.matches ? "dark" : "light", undefined, chapter));
    }
    await forScreen();
  } catch (problem) {
    console.error(problem);
    for (const place of places) {
      if (!place.childElementCount) place.textContent = "This browser could not draw the figure; its numbers are in the tables.";
    }
  }
}
document.documentElement.dataset.drawn = "true";
