// Files that are dropped on the page, pasted, or chosen with a button of the zone. Calls add(files).
export function pickFiles(zone, add) {
  for (const button of zone.querySelectorAll("[data-picks]")) {
    button.addEventListener("click", () => document.getElementById(button.dataset.picks).click());
  }
  const camera = zone.querySelector("[data-camera]");
  camera.addEventListener("change", () => {
    add([...camera.files]);
    camera.value = "";
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) {
      event.preventDefault();
      add([...event.clipboardData.files]);
    }
  });
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(name, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      zone.classList.toggle("over", name === "dragover");
      if (name === "drop") add([...event.dataTransfer.files]);
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) zone.classList.remove("over");
  });
}
