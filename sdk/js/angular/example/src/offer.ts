import { Component, computed, effect, inject, input } from '@angular/core';
import { Title } from '@angular/platform-browser';
import { RouterLink } from '@angular/router';
import { TmTrack, TrackmateService } from '@trackmate/angular';
import { OFFERS } from './catalogue';
import type { Events } from './events';

@Component({
  imports: [RouterLink, TmTrack],
  template: `
    <main>
      <h1>{{ offer().name }}</h1>
      <p><a routerLink="." fragment="terms">Terms</a></p>
      <button type="button" [tmTrack]="'Offer Booked'" [tmTrackProperties]="{ id: id(), price: offer().price }">
        Book it
      </button>
      <button type="button" (click)="like()">I like it</button>
      <p id="terms">Book until Friday.</p>
    </main>
  `,
})
export class Offer {
  readonly id = input.required<string>(); // of the route
  protected readonly offer = computed(
    () => OFFERS.find(({ id }) => id === this.id()) ?? { name: 'No such offer', price: 0 },
  );
  private readonly trackmate = inject<TrackmateService<Events>>(TrackmateService);

  constructor() {
    const title = inject(Title);
    effect(() => title.setTitle(this.offer().name));
  }

  protected like(): void {
    this.trackmate.track('Offer Liked', { id: this.id() });
  }
}
