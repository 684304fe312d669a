import { provideZonelessChangeDetection } from '@angular/core';
import { bootstrapApplication } from '@angular/platform-browser';
import { providers } from './providers';
import { Site } from './site';

bootstrapApplication(Site, { providers: [provideZonelessChangeDetection(), ...providers] });
