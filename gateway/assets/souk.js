// What pages do more with JavaScript. Without it they do everything as well, in whole pages.

// The one way from text to markup: pages of our own, fetched from our own origin.
const policy = window.trustedTypes?.createPolicy("souk", { createHTML: (html) => html });

/** Back-off before a stream that was refused is opened again, in milliseconds. */
const RETRY = 2000;

/** This page as the shop has it now. */
async function fetchPage() {
  const response = await fetch(location.href, { headers: { accept: "text/html" } });
  if (response.redirected) location.assign(response.url); // signed out meanwhile
  if (response.redirected || !response.ok) throw new Error(`no page: ${response.status}`);
  const html = await response.text();
  return new DOMParser().parseFromString(policy ? policy.createHTML(html) : html, "text/html");
}

/** Puts what is in another page's element into this one. The element stays: a screen reader announces what changes in it. */
function fill(element, page) {
  const fresh = page.getElementById(element.id);
  if (!fresh || fresh.innerHTML === element.innerHTML) return;
  const focused = document.activeElement;
  const hadFocus = element.contains(focused);
  element.replaceChildren(...fresh.childNodes);
  if (hadFocus) (document.getElementById(focused.id) ?? document.querySelector("main")).focus();
}

/** An order that is not settled, or an import that is under way, is shown anew at each of its events, until it is. The
 * event is called as the element. */
function follow(shown) {
  const events = new EventSource(shown.dataset.live);
  const show = async () => {
    const page = await fetchPage();
    fill(document.getElementById("state"), page);
    fill(shown, page);
    if (page.getElementById(shown.id)?.dataset.live) return;
    delete shown.dataset.live;
    events.close();
  };
  let showing = Promise.resolve();
  events.addEventListener(shown.id, () => (showing = showing.then(show).catch(() => {})));
  // What is no stream ends it: there is nothing more to show, or a gateway has to be asked again.
  events.addEventListener("error", async () => {
    if (events.readyState !== EventSource.CLOSED) return;
    await show().catch(() => {});
    if (shown.dataset.live) setTimeout(follow, RETRY, shown);
  });
}

/** A form is sent once, however often its button is pressed. */
function once(event) {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
}

/** A page that the browser shows again from its memory may be sent again. */
function again() {
  document.querySelectorAll("form").forEach((form) => delete form.dataset.sent);
}

const live = document.querySelector("[data-live]");
if (live) follow(live);
addEventListener("submit", once);
addEventListener("pageshow", again);
