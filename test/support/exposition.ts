/** One scrape in Prometheus' text format. */
export interface Scrape {
  readonly status: number
  readonly families: ReadonlyMap<string, Family>
  /** The sum over every series of that name with at least these labels; undefined where there is none. */
  value(name: string, labels?: Record<string, string>): number | undefined
}

export interface Family {
  readonly type: string
  readonly labels: ReadonlySet<string>
}

export async function scrape(url: string): Promise<Scrape> {
  const response = await fetch(`${url}/metrics`)
  const text = await response.text()
  const families = new Map<string, { type: string; labels: Set<string> }>()
  const series: Array<{ name: string; labels: Record<string, string>; value: number }> = []
  for (const line of text.split('\n')) {
    const [, family, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? []
    if (family && type) families.set(family, { type, labels: new Set() })
    if (line === '' || line.startsWith('#')) continue
    const [, name, written = '', value] = /^([a-z]\w*)(?:\{(.*)\})? (\S+)$/i.exec(line) ?? []
    if (name === undefined) throw new Error(`not a line of a scrape: ${line}`)
    const labels = Object.fromEntries([...written.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, k, v]) => [k!, v!]))
    series.push({ name, labels, value: Number(value) })
    const owner = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''))
    for (const label of Object.keys(labels)) owner?.labels.add(label)
  }
  return {
    status: response.status,
    families,
    value(name, labels = {}) {
      const fitting = series.filter(
        (one) => one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value),
      )
      return fitting.length === 0 ? undefined : fitting.reduce((sum, { value }) => sum + value, 0)
    },
  }
}
