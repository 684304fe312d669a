import { Component } from '@angular/core';
import { RouterLink } from '@angular/router';
import { OFFERS } from './catalogue';

@Component({
  imports: [RouterLink],
  template: `
    <main>
      <h1>Offers</h1>
      @for (offer of offers; track offer.id) {
        <p><a [routerLink]="['/offers', offer.id]">{{ offer.name }}</a></p>
      }
    </main>
  `,
})
export class Offers {
  protected readonly offers = OFFERS;
}
