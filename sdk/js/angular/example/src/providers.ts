import { provideRouter, withComponentInputBinding } from '@angular/router';
import { provideTrackmate, withRouter } from '@trackmate/angular';
import { environment } from './environment';
import { Offer } from './offer';
import { Offers } from './offers';

export const providers = [
  provideRouter(
    [
      { path: '', pathMatch: 'full', title: 'Offers', component: Offers },
      { path: 'offers/:id', component: Offer },
      { path: 'lisbon', redirectTo: 'offers/lisbon' },
      { path: 'closed', component: Offers, canActivate: [() => false] },
    ],
    withComponentInputBinding(),
  ),
  provideTrackmate(environment.trackmate, withRouter()),
];
