import { createTrackmate } from '@trackmate/vue';
import { createApp } from 'vue';
import { createRouter, createWebHistory } from 'vue-router';
import OfferPage from './OfferPage.vue';
import OffersPage from './OffersPage.vue';
import SitePage from './SitePage.vue';

const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/', name: 'Offers', component: OffersPage },
    { path: '/offers/:id', name: 'Offer', component: OfferPage },
    { path: '/lisbon', redirect: '/offers/lisbon' },
    { path: '/closed', component: OffersPage, beforeEnter: () => false },
  ],
});

const { VITE_TRACKMATE_KEY: key, VITE_TRACKMATE_ENDPOINT: endpoint } = import.meta.env;

createApp(SitePage).use(createTrackmate({ key, endpoint, router })).use(router).mount('#app');
