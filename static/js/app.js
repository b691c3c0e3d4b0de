// What every page has: theme switch, keyboard help, shortcuts that can be turned off, menus, submit guard.
import { onKeys, shortcutsOn } from "./keys.js";

const root = document.documentElement;

function darkNow() {
  if (root.dataset.theme) return root.dataset.theme === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function showTheme() {
  for (const button of document.querySelectorAll("[data-theme-switch]")) {
    button.setAttribute("aria-pressed", String(darkNow()));
  }
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-theme-switch]")) {
    root.dataset.theme = darkNow() ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
    showTheme();
  }
  const opener = event.target.closest("[data-opens]");
  if (opener) {
    for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
    document.getElementById(opener.dataset.opens).showModal();
  }
  if (event.target.closest("[data-closes]")) event.target.closest("dialog").close();
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// A form is sent once: its buttons rest until the answer is there.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post" || event.defaultPrevented) return;
  if (event.target.dataset.sent) {
    event.preventDefault();
    return;
  }
  event.target.dataset.sent = "yes";
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

const toggle = document.querySelector("[data-shortcuts-toggle]");
if (toggle) {
  toggle.checked = shortcutsOn();
  toggle.addEventListener("change", () => localStorage.setItem("shortcuts", toggle.checked ? "on" : "off"));
}

onKeys({
  "?": () => document.getElementById("keyboard-help")?.showModal(),
  n: () => {
    const link = document.querySelector(".mainnav [data-new-case]");
    // On the triage page, n is a verdict.
    if (!link || document.querySelector("[data-triage]")) return false;
    link.click();
  },
});

showTheme();
