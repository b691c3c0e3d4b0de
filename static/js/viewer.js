// The large view of a picture: click or + to enlarge it, drag the scroll bars, arrows for the next one.
const dialog = document.getElementById("viewer");
const stage = dialog?.querySelector(".viewer-stage");
const picture = stage?.querySelector("img");
let shown = [];
let index = 0;

function show(next) {
  index = (next + shown.length) % shown.length;
  const link = shown[index];
  stage.classList.remove("zoomed");
  picture.src = link.href;
  picture.alt = link.querySelector("img")?.alt || "Picture";
  dialog.querySelector("[data-viewer-title]").textContent =
    `${picture.alt}${shown.length > 1 ? ` (${index + 1} of ${shown.length})` : ""}`;
}

function zoom(on, event) {
  const box = picture.getBoundingClientRect();
  // The picture is fitted into its box, with empty margins at two sides.
  const scale = Math.min(box.width / picture.naturalWidth, box.height / picture.naturalHeight);
  const part = (place, middle, size) => 0.5 + (place - middle) / (size * scale);
  const x = event ? part(event.clientX, box.left + box.width / 2, picture.naturalWidth) : 0.5;
  const y = event ? part(event.clientY, box.top + box.height / 2, picture.naturalHeight) : 0.5;
  stage.classList.toggle("zoomed", on);
  if (!on) return;
  stage.scrollLeft = x * stage.scrollWidth - stage.clientWidth / 2;
  stage.scrollTop = y * stage.scrollHeight - stage.clientHeight / 2;
}

if (dialog) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-view]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    shown = [...document.querySelectorAll(`a[data-view="${link.dataset.view}"]`)];
    show(shown.indexOf(link));
    dialog.showModal();
  });
  stage.addEventListener("click", (event) => zoom(!stage.classList.contains("zoomed"), event));
  dialog.addEventListener("keydown", (event) => {
    const zoomed = stage.classList.contains("zoomed");
    if (event.key === "+" || event.key === "=") zoom(true);
    else if (event.key === "-" || event.key === "0") zoom(false);
    else if (event.key === "ArrowRight" && !zoomed) show(index + 1);
    else if (event.key === "ArrowLeft" && !zoomed) show(index - 1);
    else return;
    event.preventDefault();
  });
}
