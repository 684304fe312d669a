/*
The demo shop: a few clicks of a travel agency, so that there is something to track. Each thing that
a visitor does calls `trackmate.track` once; the rest is an ordinary small shop.
*/
(() => {
  const byId = (id) => document.getElementById(id);
  const offers = [...document.querySelectorAll('.offer')].map(toOffer);
  const cart = [];
  const sent = new Map();  // messageId → its line in the panel
  let shown = null;

  function toOffer(node) {
    const text = (part) => node.querySelector(part).textContent;
    const { id, price, words } = node.dataset;
    const texts = { name: text('h2'), place: text('.place'), story: text('.story') };
    return { node, id, words, price: Number(price), ...texts };
  }

  function made(tag, className, ...children) {
    const node = document.createElement(tag);
    node.className = className;
    node.append(...children);
    return node;
  }

  const euros = (amount) => `€ ${amount.toLocaleString('en')}`;
  const total = () => cart.reduce((sum, offer) => sum + offer.price, 0);
  const facts = ({ id, name, price }) => ({ offerId: id, name, price, currency: 'EUR' });
  const cartFacts = () => ({ offers: cart.map(({ id }) => id), total: total(), currency: 'EUR' });

  function decorate(offer) {
    const view = made('button', 'view', 'View');
    view.type = 'button';
    view.setAttribute('aria-label', `View ${offer.name}`);
    view.addEventListener('click', () => open(offer));
    offer.node.append(made('div', 'offer-foot', made('span', 'price', euros(offer.price)), view));
  }

  function open(offer) {
    shown = offer;
    byId('offer-picture').replaceChildren(offer.node.querySelector('svg').cloneNode(true));
    byId('offer-title').textContent = offer.name;
    byId('offer-place').textContent = offer.place;
    byId('offer-story').textContent = offer.story;
    byId('offer-price').textContent = `${euros(offer.price)} a person`;
    byId('offer').showModal();
    trackmate.track('Offer Viewed', facts(offer));
  }

  function add() {
    cart.push(shown);
    byId('cart-count').textContent = cart.length;
    trackmate.track('Added To Cart', { ...facts(shown), cartSize: cart.length });
    byId('offer').close();
    openCart();
  }

  function openCart() {
    byId('cart-lines').replaceChildren(...cart.map(({ name, price }) =>
      made('li', '', made('span', '', name), made('span', 'price', euros(price)))));
    byId('cart-total').textContent = cart.length ? `Together ${euros(total())}` : 'Nothing in it yet.';
    byId('checkout').disabled = cart.length === 0;
    byId('cart').showModal();
  }

  function checkout() {
    byId('cart').close();
    byId('leaving').valueAsNumber = Date.now() + 30 * 24 * 3600 * 1000;
    showTotal();
    byId('booking').showModal();
    trackmate.track('Checkout Started', cartFacts());
  }

  const travellers = () => Number(byId('travellers').value);
  const together = () => total() * travellers();
  const showTotal = () => { byId('booking-total').textContent = `Together ${euros(together())}`; };

  function book(event) {
    event.preventDefault();
    const bookingId = `AC-${crypto.randomUUID().slice(0, 6).toUpperCase()}`;
    trackmate.track('Booking Completed', {
      bookingId, ...cartFacts(), total: together(),
      travellers: travellers(), leaving: byId('leaving').value,
    });
    cart.length = 0;
    byId('cart-count').textContent = 0;
    byId('booking').close();
    byId('booking-number').textContent = bookingId;
    byId('booked').showModal();
  }

  function search(event) {
    event.preventDefault();
    const query = byId('search-text').value.trim();
    const fits = ({ name, place, words }) =>
      `${name} ${place} ${words}`.toLowerCase().includes(query.toLowerCase());
    for (const offer of offers) offer.node.hidden = !fits(offer);
    const results = offers.filter(fits).length;
    byId('found').textContent = '';
    if (!query) return;
    byId('found').textContent = `${results} of ${offers.length} journeys for “${query}”`;
    trackmate.track('Search', { query, results });
  }

  function subscribe(event) {
    event.preventDefault();
    trackmate.identify(byId('newsletter-email').value, { newsletter: true });
    byId('newsletter').reset();
    byId('subscribed').textContent = 'Thank you. The next letter is yours.';
  }

  function showSent({ detail: { body, state } }) {
    const event = JSON.parse(body);
    const line = sent.get(event.messageId) ?? newLine(event, body);
    line.state.textContent = state;
    line.state.dataset.state = state;
    byId('sent-count').textContent = sent.size;
  }

  function newLine(event, body) {
    const state = made('span', 'state');
    const summary = made('summary', '', made('b', '', event.event ?? event.type), state);
    byId('sent-events').prepend(made('li', '', made('details', '', summary, made('pre', '', body))));
    sent.set(event.messageId, { state });
    return { state };
  }

  let visibleSince = document.hidden ? null : Date.now();

  function leave() {
    if (visibleSince === null) return;  // told already: a page is hidden before it goes
    trackmate.track('Page Left', { dwellMs: Date.now() - visibleSince });
    visibleSince = null;
  }
  const comeBack = () => { visibleSince ??= document.hidden ? null : Date.now(); };

  document.addEventListener('trackmate', showSent);
  addEventListener('pagehide', leave);
  addEventListener('pageshow', comeBack);
  document.addEventListener('visibilitychange', () => (document.hidden ? leave() : comeBack()));
  offers.forEach(decorate);
  byId('add').addEventListener('click', add);
  byId('open-cart').addEventListener('click', openCart);
  byId('checkout').addEventListener('click', checkout);
  byId('travellers').addEventListener('input', showTotal);
  byId('book').addEventListener('submit', book);
  byId('search').addEventListener('submit', search);
  byId('newsletter').addEventListener('submit', subscribe);
  for (const closer of document.querySelectorAll('[data-closes]')) {
    closer.addEventListener('click', () => closer.closest('dialog').close());
  }
  byId('sent').open = matchMedia('(min-width: 60rem)').matches;
})();
