interface Flight<T> {
  readonly running: Promise<T>
  next?: Promise<T>
}

/**
 * At most one question at a time for each key, and `most` keys.
 *
 * An answer to a question that was asked before a request came may be older than a cut that came before the request. So
 * unless `joins`, a request that finds one under way waits for the next, which is asked for everybody who came meanwhile.
 *
 * @param begin must not reject
 */
export function createFlights<T>(most: number) {
  const flights = new Map<string, Flight<T>>()

  function start(key: string, begin: () => Promise<T>): Promise<T> {
    const flight: Flight<T> = {
      running: begin().finally(() => {
        if (flights.get(key) === flight && !flight.next) flights.delete(key)
      }),
    }
    flights.set(key, flight)
    return flight.running
  }

  return {
    /** Undefined when there is no room. */
    ask(key: string, begin: () => Promise<T>, { joins }: { joins: boolean }): Promise<T> | undefined {
      const flight = flights.get(key)
      if (!flight) return flights.size < most ? start(key, begin) : undefined
      if (joins) return flight.running
      flight.next ??= flight.running.then(() => start(key, begin))
      return flight.next
    },
  }
}
