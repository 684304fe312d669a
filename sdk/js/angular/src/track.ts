import { Directive, ElementRef, inject, input, NgZone } from '@angular/core';
import type { Properties } from '@trackmate/core';
import { TrackmateService } from './service';

/** `<button [tmTrack]="'Offer Booked'" [tmTrackProperties]="{ id }">`: a click is an event. */
@Directive({ selector: '[tmTrack]' })
export class TmTrack {
  readonly tmTrack = input.required<string>();
  readonly tmTrackProperties = input<Properties>();

  constructor() {
    const trackmate = inject(TrackmateService);
    const element: HTMLElement = inject(ElementRef).nativeElement;
    // a listener of Angular's would make it look at the whole app for each click
    inject(NgZone).runOutsideAngular(() => {
      element.addEventListener('click', () => trackmate.track(this.tmTrack(), this.tmTrackProperties()));
    });
  }
}
