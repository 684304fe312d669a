/** Trackmate in Angular. */
export { provideTrackmate, type TrackmateFeature } from './provide';
export { withRouter } from './router';
export { TrackmateService } from './service';
export { TmTrack } from './track';
