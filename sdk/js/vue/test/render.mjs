/** Renders all that there is to a string, tracks meanwhile, and says whether anything is left unsent. */
import { createTrackmate, useTrackmate } from '@trackmate/vue';
import { createSSRApp, h, resolveDirective, withDirectives } from 'vue';
import { renderToString } from 'vue/server-renderer';
import { createMemoryHistory, createRouter } from 'vue-router';

const [endpoint, key] = process.argv.slice(2);
let client;

const Offer = {
  setup() {
    client = useTrackmate();
    client.track('Offer Rendered');
  },
  render: () => withDirectives(h('button', 'Book it'), [[resolveDirective('track'), 'Offer Booked', 'submit']]),
};

const router = createRouter({ history: createMemoryHistory(), routes: [{ path: '/', component: Offer }] });
const app = createSSRApp(Offer).use(createTrackmate({ key, endpoint, router })).use(router);
await router.push('/');
process.stdout.write(await renderToString(app));
console.log(await client.flush());
