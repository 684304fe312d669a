/** Renders all that there is to a string, tracks meanwhile, and says whether anything is left unsent. */
import '@angular/compiler';
import { Component, inject, provideZonelessChangeDetection } from '@angular/core';
import { bootstrapApplication } from '@angular/platform-browser';
import { renderApplication } from '@angular/platform-server';
import { provideRouter, RouterOutlet } from '@angular/router';
import { provideTrackmate, TmTrack, TrackmateService, withRouter } from '../dist/fesm2022/trackmate-angular.mjs';

const [endpoint, key] = process.argv.slice(2);
let client;

class Offer {
  constructor() {
    client = inject(TrackmateService);
    client.track('Offer Rendered');
  }
}
Component({
  selector: 'app-offer',
  imports: [TmTrack],
  template: `<button [tmTrack]="'Offer Booked'">Book it</button>`,
})(Offer);

class Site {}
Component({ selector: 'app-site', imports: [RouterOutlet], template: '<router-outlet />' })(Site);

const providers = [
  provideZonelessChangeDetection(),
  provideRouter([{ path: '', component: Offer }]),
  provideTrackmate({ key, endpoint }, withRouter()),
];
const html = await renderApplication((context) => bootstrapApplication(Site, { providers }, context), {
  document: '<app-site></app-site>',
  url: '/',
  allowedHosts: ['*'],
});
console.log(html.match(/<button.*<\/button>/)[0], await client.flush());
