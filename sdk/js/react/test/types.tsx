/** What the types allow and what not; checked by tsc, never run. */
import { createTrackmate } from '@trackmate/core';
import { TrackmateProvider, TrackOnView, useTrackEvent, useTrackmate } from '@trackmate/react';

interface Events {
  'Offer Booked': { id: string };
}

const options = { key: 'k', endpoint: 'https://acme.example' };

export const providers = [
  <TrackmateProvider key="a" options={options} />,
  <TrackmateProvider key="b" client={createTrackmate<Events>(options)} />,
  // @ts-expect-error one of the two
  <TrackmateProvider key="c" />,
  // @ts-expect-error and not both
  <TrackmateProvider key="d" options={options} client={createTrackmate(options)} />,
];

export function Offer() {
  const { track } = useTrackmate<Events>();
  track('Offer Booked', { id: 'a' });
  // @ts-expect-error no such event
  track('Offer Boked', { id: 'a' });
  // @ts-expect-error no such event
  useTrackEvent<Events>('Offer Boked');
  // @ts-expect-error an id is a string
  useTrackEvent<Events>('Offer Booked', { id: 1 });
  useTrackEvent('Anything', { at: 'all' });
  return (
    <>
      <TrackOnView event="Anything" properties={{ at: 'all' }} className="box" />
      <TrackOnView<Events> event="Offer Booked" properties={{ id: 'a' }} />
      {/* @ts-expect-error no such event */}
      <TrackOnView<Events> event="Offer Boked" />
    </>
  );
}
