// Single-key shortcuts. Without effects of its own, since several scripts import it.

function typing(event) {
  const element = event.target;
  return event.ctrlKey || event.metaKey || event.altKey
    || element.closest("input, textarea, select, [contenteditable]") !== null;
}

export function shortcutsOn() {
  return localStorage.getItem("shortcuts") !== "off";
}

// Calls handlers[key] for single keys, unless somebody types or holds a key down, a dialog is open, or shortcuts are off.
export function onKeys(handlers) {
  document.addEventListener("keydown", (event) => {
    if (event.repeat || typing(event) || !shortcutsOn() || document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
    const handler = handlers[event.key];
    if (handler && handler(event) !== false) event.preventDefault();
  });
}
