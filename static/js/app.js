// What every page has: theme switch, keyboard help, shortcuts that can be turned off, menus, submit guard,
// failures of requests behind the scenes.
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

// What htmx could not bring is said on the page; a session that ended leads to the login page.
function sayFailure(sentence) {
  let line = document.querySelector("[data-failure]");
  if (!line) {
    line = document.createElement("p");
    line.className = "notice bad";
    line.dataset.failure = "";
    line.setAttribute("role", "alert");
    document.getElementById("main").prepend(line);
  }
  if (line.textContent !== sentence) line.textContent = sentence;
  line.scrollIntoView({ block: "nearest" });
}
document.addEventListener("htmx:sendError", () => {
  sayFailure("The server can't be reached, and nothing was changed. Try again in a moment.");
});
document.addEventListener("htmx:responseError", (event) => {
  sayFailure(`The server refused this (answer ${event.detail.xhr.status}), and nothing was changed. Load the page again.`);
});
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (xhr.status >= 400) return;
  document.querySelector("[data-failure]")?.remove();
  if (new URL(xhr.responseURL).pathname.startsWith("/accounts/login/")) {
    event.detail.shouldSwap = false;
    location.reload();
  }
});

const toggle = document.querySelector("[data-shortcuts-toggle]");
if (toggle) {
  toggle.checked = shortcutsOn();
  toggle.addEventListener("change", () => localStorage.setItem("shortcuts", toggle.checked ? "on" : "off"));
}

onKeys({
  "?": () => {
    if (document.querySelector("[data-console]")) return false;
    document.getElementById("keyboard-help")?.showModal();
  },
  n: () => {
    const link = document.querySelector(".mainnav [data-new-case]");
    // On the triage page, n is a verdict; on the console, it may be the first letter of a scanned code.
    if (!link || document.querySelector("[data-triage], [data-console]")) return false;
    link.click();
  },
});

showTheme();
