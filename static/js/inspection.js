// The console: a scanner types the part, pictures are sent two at a time, and each verdict shows up when it is there.
import { shortcutsOn } from "./keys.js";
import { pickFiles } from "./picking.js";

const AT_ONCE = 2;
const WORDS = { pass: "Pass", fail: "Fail", undecided: "Undecided", problem: "not inspected" };

const form = document.querySelector("[data-inspect]");
const scan = document.querySelector("[data-scan]");
const list = document.querySelector("[data-results]");
const said = document.querySelector("[data-said]");
const tally = document.querySelector("[data-tally]");
const waiting = [];
let sending = 0;

const counted = (kind) => list.querySelectorAll(`[data-result="${kind}"]`).length;

function count() {
  const parts = ["pass", "fail", "undecided", "problem"].filter(counted).map((kind) => `${counted(kind)} ${WORDS[kind].toLowerCase()}`);
  const open = waiting.length + sending;
  if (open) parts.push(`${open} to go`);
  tally.textContent = parts.join(" · ");
  document.querySelector("[data-nothing]").hidden = list.children.length > 0;
}

function refuse(item, problem, again) {
  const node = item.node;
  node.className = "result problem";
  node.dataset.result = "problem";
  node.querySelector("[data-state]").textContent = "NOT INSPECTED";
  node.querySelector(".stamp").className = "stamp problem";
  node.querySelector("[data-problem]").textContent = problem;
  node.querySelector("[data-problem]").hidden = false;
  node.querySelector("[data-again]").hidden = !again;
  said.textContent = `${item.file.name}: ${problem}`;
}

async function send(item) {
  const data = new FormData();
  data.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
  data.set("part", item.part);
  data.set("serial_number", item.serial);
  data.set("images", item.file);
  item.node.querySelector("[data-state]").textContent = "LOOKING";
  try {
    const answer = await fetch(form.action, { method: "POST", body: data, headers: { "HX-Request": "true" } });
    if (answer.redirected) {
      refuse(item, "You were logged out meanwhile. Log in in another tab, then try again.", true);
    } else if (answer.ok) {
      const holder = document.createElement("template");
      holder.innerHTML = await answer.text();
      const fresh = holder.content.firstElementChild;
      item.node.replaceWith(fresh);
      said.textContent = `${item.file.name}: ${WORDS[fresh.dataset.result]}. ${fresh.querySelector(".error")?.textContent || ""}`;
    } else if (answer.status === 413) {
      refuse(item, `${item.file.name} is larger than the server takes. Send a smaller picture.`, false);
    } else if (answer.status === 403) {
      refuse(item, "This page is too old, or you may not inspect any more. Load the page again and choose the pictures again.", false);
    } else {
      refuse(item, `The server could not judge this picture (answer ${answer.status}).`, true);
    }
  } catch {
    refuse(item, "The server can't be reached. Try again in a moment.", true);
  }
}

async function work() {
  if (sending >= AT_ONCE || !waiting.length) return;
  sending += 1;
  count();
  await send(waiting.shift());
  sending -= 1;
  count();
  work();
}

function add(files) {
  const part = document.querySelector("[data-part-name]")?.value || "";
  const serial = form.querySelector("[data-serial]").value.trim();
  for (const file of files) {
    const node = document.getElementById("waiting").content.firstElementChild.cloneNode(true);
    const item = { file, part, serial, node };
    node.querySelector("[data-name]").textContent = file.name;
    const picture = node.querySelector("img");
    picture.src = URL.createObjectURL(file);
    picture.addEventListener("load", () => { node.classList.add("has-picture"); URL.revokeObjectURL(picture.src); });
    list.prepend(node);
    if (!part) {
      refuse(item, "No part is chosen: scan its code, or take it from the list. Then send the picture again.", false);
    } else if (file.size > Number(form.dataset.maxBytes)) {
      refuse(item, `${file.name} has ${(file.size / 1048576).toFixed(1)} MiB, and a picture may have at most ${Math.floor(form.dataset.maxBytes / 1048576)} MiB.`, false);
    } else {
      node.querySelector("[data-again]").addEventListener("click", () => {
        node.className = "result waiting";
        node.dataset.result = "waiting";
        node.querySelector(".stamp").className = "stamp waiting";
        node.querySelector("[data-problem]").hidden = true;
        node.querySelector("[data-again]").hidden = true;
        waiting.push(item);
        work();
      });
      waiting.push(item);
    }
  }
  if (files.length) form.querySelector("[data-serial]").value = "";
  count();
  for (let place = 0; place < AT_ONCE; place += 1) work();
}

if (form) {
  const input = form.querySelector("[data-pictures]");
  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = "";
  });
  pickFiles(form.querySelector("[data-upload-zone]"), add);
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("beforeunload", (event) => { if (waiting.length + sending) event.preventDefault(); });
}
count();

// A scanner types as fast as nobody can, wherever the focus is: its code belongs into the field.
function walk(step) {
  const links = [...list.querySelectorAll("[data-result-link]")];
  if (!links.length) return;
  const here = links.indexOf(document.activeElement);
  const next = Math.min(Math.max(here + step, 0), links.length - 1);
  links[here < 0 ? 0 : next].focus();
  links[here < 0 ? 0 : next].closest("li").scrollIntoView({ block: "nearest" });
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const { target } = event;
  if (target === scan && event.key === "Escape") scan.blur();
  if (target.closest("input, textarea, select, [contenteditable]")) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (!list.querySelector("[data-result-link]")) return;
    walk(event.key === "ArrowDown" ? 1 : -1);
    event.preventDefault();
  } else if (event.key.length === 1 && event.key !== " " && shortcutsOn()) {
    scan.focus();
    scan.select();
  }
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target.id !== "part" && !document.getElementById("part")?.contains(event.target)) return;
  scan.value = "";
  scan.focus();
});
