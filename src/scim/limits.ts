/** ServiceProviderConfig's `bulk.maxPayloadSize`, and the limit of every other body. */
export const largestBodyBytes = 10 * 1024 * 1024
/** ServiceProviderConfig's `bulk.maxOperations`. */
export const mostOperations = 1_000
/** Members that one write of a group may name: what a body holds of them, with room for their names. */
export const mostMembers = 100_000
/** Values in all operations of a PATCH, those of members aside: each is held against those there are, under the resource's lock. */
export const mostValues = 1_000
/** Names in one object of a body, and attributes that a query may name: each is looked up in the schemas. */
export const mostNames = 1_000
/** Extensions of one resource: every name under a URN that no schema has is held against them all. */
export const mostExtensions = 50
/** Values in one body, lists and objects included: what the most members need. Ten mebibytes of nothing else would be gigabytes of memory. */
export const mostJsonValues = 600_000
/** How deep a body may nest, and what is unpacked from a text in it. */
export const deepestJson = 64
