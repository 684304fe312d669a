/** The same app with zone.js, which Angular had by default up to 20. */
import { provideZoneChangeDetection } from '@angular/core';
import { bootstrapApplication } from '@angular/platform-browser';
import { providers } from './providers';
import { Site } from './site';

bootstrapApplication(Site, { providers: [provideZoneChangeDetection(), ...providers] });
