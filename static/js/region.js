// A box on a picture: dragged, set by two clicks, or moved with the arrow keys; sent with its form as fractions of
// the upright picture. The box starts closed where a button opens it, and is drawn anew after "region:reset".
const STEP = 0.02;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const NO_BOX = "No box drawn.";
// Pixels of the screen by which a click may miss before it is a drag.
const SHAKE = 4;

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const percent = (share) => `${Math.round(share * 100)}\u00a0%`;

function prepare(frame) {
  const find = (name) => frame.querySelector(`[data-region-${name}]`);
  const form = frame.closest("form");
  const [picture, layer, box, said] = ["picture", "layer", "box", "said"].map(find);
  const [value, search, clear, toggle, tools] = ["value", "search", "clear", "toggle", "tools"].map(find);
  let region = null;
  let corner = null; // where the first of two clicks was
  let drag = null;
  let speaking = 0;

  const pixels = () => ({
    width: Number(frame.dataset.width) || picture.naturalWidth,
    height: Number(frame.dataset.height) || picture.naturalHeight,
  });
  // One pixel more than the server asks for, since edges are rounded to pixels.
  const least = () => ({
    width: Math.min((Number(frame.dataset.least) + 1) / pixels().width, 1),
    height: Math.min((Number(frame.dataset.least) + 1) / pixels().height, 1),
  });

  function say(sentence) {
    clearTimeout(speaking);
    // While the box moves, its place would be read out again and again.
    speaking = setTimeout(() => { said.textContent = sentence; }, 250);
  }

  function describe() {
    const { width, height } = pixels();
    return `Box ${percent(region.x)} from the left, ${percent(region.y)} from the top, ${percent(region.width)} wide, `
      + `${percent(region.height)} high (${Math.round(region.width * width)} x ${Math.round(region.height * height)} pixels).`;
  }

  function draw(sentence) {
    const shown = region || (corner && { ...corner, width: 0, height: 0 });
    box.hidden = !shown;
    if (shown) {
      box.style.left = `${shown.x * 100}%`;
      box.style.top = `${shown.y * 100}%`;
      box.style.width = `${shown.width * 100}%`;
      box.style.height = `${shown.height * 100}%`;
    }
    box.classList.toggle("corner", !region);
    value.value = region
      ? [region.x, region.y, region.width, region.height].map((part) => part.toFixed(5)).join(",") : "";
    search.hidden = !region;
    clear.hidden = !shown && !toggle;
    say(sentence || (region ? describe() : NO_BOX));
  }

  function between(one, other) {
    const { width, height } = least();
    const x = clamp(Math.min(one.x, other.x), 0, 1 - width);
    const y = clamp(Math.min(one.y, other.y), 0, 1 - height);
    return {
      x, y, width: clamp(Math.abs(one.x - other.x), width, 1 - x), height: clamp(Math.abs(one.y - other.y), height, 1 - y),
    };
  }

  function reset(sentence) {
    region = null;
    corner = null;
    draw(sentence);
  }

  // The picture may be fitted into its element with empty margins: the layer lies on the pixels alone.
  function place() {
    const outer = frame.getBoundingClientRect();
    const inner = picture.getBoundingClientRect();
    const { width, height } = pixels();
    if (!width || !inner.width) return;
    const scale = Math.min(inner.width / width, inner.height / height);
    layer.style.width = `${width * scale}px`;
    layer.style.height = `${height * scale}px`;
    layer.style.left = `${inner.left - outer.left + (inner.width - width * scale) / 2}px`;
    layer.style.top = `${inner.top - outer.top + (inner.height - height * scale) / 2}px`;
  }

  function open(on) {
    layer.hidden = !on;
    tools.hidden = !on;
    if (on) place();
    else reset();
    if (toggle) toggle.hidden = on;
  }

  function close() {
    open(false);
    toggle.focus();
  }

  function at(event) {
    const outer = layer.getBoundingClientRect();
    return {
      x: clamp((event.clientX - outer.left) / outer.width, 0, 1), y: clamp((event.clientY - outer.top) / outer.height, 0, 1),
    };
  }

  layer.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    layer.focus();
    layer.setPointerCapture(event.pointerId);
    drag = { from: at(event), x: event.clientX, y: event.clientY, moved: false };
  });
  layer.addEventListener("pointermove", (event) => {
    if (!drag) return;
    drag.moved ||= Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > SHAKE;
    if (!drag.moved) return;
    corner = null;
    region = between(drag.from, at(event));
    draw();
  });
  layer.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const { moved, from } = drag;
    drag = null;
    if (moved) return;
    if (corner) {
      region = between(corner, at(event));
      corner = null;
      draw();
    } else {
      region = null;
      corner = from;
      draw("First corner set: click the opposite one.");
    }
  });
  layer.addEventListener("pointercancel", () => { drag = null; });

  function arrow([right, down], resize) {
    if (!region) {
      corner = null;
      region = { x: 0.25, y: 0.25, width: 0.5, height: 0.5 };
    } else if (resize) {
      region.width = clamp(region.width + right * STEP, least().width, 1 - region.x);
      region.height = clamp(region.height + down * STEP, least().height, 1 - region.y);
    } else {
      region.x = clamp(region.x + right * STEP, 0, 1 - region.width);
      region.y = clamp(region.y + down * STEP, 0, 1 - region.height);
    }
    draw();
  }

  layer.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (ARROWS[event.key]) arrow(ARROWS[event.key], event.shiftKey);
    else if (event.key === "Enter" && region) form.requestSubmit(search);
    else if (event.key === "Enter") say("No box to search yet: an arrow key draws one.");
    else if (event.key === "Escape" && (region || corner)) reset();
    else if (event.key === "Escape" && toggle) close();
    else return;
    event.preventDefault();
    // Enter and others are shortcuts of the page, which must not act as well.
    event.stopPropagation();
  });

  clear.addEventListener("click", () => {
    if (toggle) {
      close();
    } else {
      reset();
      layer.focus();
    }
  });
  toggle?.addEventListener("click", () => {
    open(true);
    layer.focus();
  });
  frame.addEventListener("region:reset", () => reset());
  picture.addEventListener("load", place);
  new ResizeObserver(place).observe(frame);

  open(!toggle);
  const before = value.dataset.regionValue.split(",").map(Number);
  if (before.length === 4) {
    region = { x: before[0], y: before[1], width: before[2], height: before[3] };
    draw();
  }
}

for (const frame of document.querySelectorAll("[data-region]")) prepare(frame);
