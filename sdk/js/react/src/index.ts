'use client';
/** Trackmate in React. Page views are the core's own: no router is asked, and nothing suspends. */
import { type AnyEvents, createTrackmate, type EventMap, type Options, type Trackmate } from '@trackmate/core';
import {
  type ComponentPropsWithoutRef,
  createContext,
  createElement,
  type ReactElement,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
} from 'react';
import { nobody } from '../../shared/nobody.js';

// biome-ignore lint/suspicious/noExplicitAny: a client of whatever events
type AnyTrackmate = Trackmate<any>;

/** Either a client, or the options of one. Options count when their `key` is first seen. */
export type TrackmateProviderProps = { children?: ReactNode } & (
  | { client: AnyTrackmate; options?: undefined }
  | { client?: undefined; options: Options }
);

type NameOf<Events> = keyof Events & string;

export type TrackOnViewProps<Events extends EventMap = AnyEvents> = ComponentPropsWithoutRef<'div'> & {
  event: NameOf<Events>;
  properties?: Events[NameOf<Events>];
};

const Context = createContext<AnyTrackmate>(nobody);

/** Hands a client to what is inside. */
export function TrackmateProvider({ client, options, children }: TrackmateProviderProps): ReactElement {
  const key = options && options.key;
  // While rendering, as the effects of children come before one of ours; a second call changes nothing.
  const value = useMemo(
    () => client || (typeof document === 'undefined' ? nobody : createTrackmate(options as Options)),
    [client, key],
  );
  return createElement(Context.Provider, { value }, children);
}

/** The client of the nearest provider; without one, a client that does nothing. */
export function useTrackmate<Events extends EventMap = AnyEvents>(): Trackmate<Events> {
  return useContext(Context);
}

/** A function, always the same, that tracks this event with the properties of the last render. */
export function useTrackEvent<Events extends EventMap = AnyEvents>(
  event: NameOf<Events>,
  properties?: Events[NameOf<Events>],
): () => void {
  const trackmate: AnyTrackmate = useContext(Context);
  const last = useRef(properties);
  useEffect(() => {
    last.current = properties;
  });
  return useCallback(() => trackmate.track(event, last.current), [trackmate, event]);
}

/** A `<div>` that tracks an event the first time that any of it is in view. */
export function TrackOnView<Events extends EventMap = AnyEvents>(props: TrackOnViewProps<Events>): ReactElement {
  const { event, properties, ...rest } = props;
  const viewed = useTrackEvent<Events>(event, properties);
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      viewed();
    });
    observer.observe(element.current as HTMLDivElement);
    return () => observer.disconnect();
  }, [viewed]);
  return createElement('div', { ...rest, ref: element });
}
