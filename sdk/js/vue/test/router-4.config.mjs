/** Builds the example with vue-router 4, run in its folder. */
import example from '../../examples/vue/vite.config.ts';

export default { ...example, resolve: { alias: { 'vue-router': 'vue-router-4' } } };
