import { isPlatformBrowser } from '@angular/common';
import {
  type EnvironmentProviders,
  inject,
  makeEnvironmentProviders,
  NgZone,
  PLATFORM_ID,
  provideAppInitializer,
} from '@angular/core';
import { createTrackmate, type Options, type Trackmate } from '@trackmate/core';
import { nobody, TrackmateService } from './service';

/** Something beside the client, as `withRouter()` makes it. */
export interface TrackmateFeature {
  /** What becomes of the client's options. */
  options: Partial<Options>;
  /** Begins, in an injection context outside of Angular's zone. */
  start(trackmate: Trackmate, options: Options): void;
}

/** The client of these options, from the start of the app on. */
export function provideTrackmate(options: Options, ...features: TrackmateFeature[]): EnvironmentProviders {
  return makeEnvironmentProviders([
    { provide: TrackmateService, useFactory: () => start(options, features) },
    provideAppInitializer(() => {
      inject(TrackmateService);
    }),
  ]);
}

/** Outside of Angular's zone, where nothing that the client waits for makes Angular look at the app. */
const start = (options: Options, features: TrackmateFeature[]): Trackmate =>
  isPlatformBrowser(inject(PLATFORM_ID))
    ? inject(NgZone).runOutsideAngular(() => {
        const trackmate = createTrackmate(Object.assign({}, options, ...features.map((feature) => feature.options)));
        for (const feature of features) feature.start(trackmate, options);
        return trackmate;
      })
    : nobody;
