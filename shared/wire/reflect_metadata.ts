/**
 * The functions of the reflect-metadata proposal that the dependency container inside
 * @peculiar/x509 refuses to load without: metadata by (key, target), looked up along the prototype
 * chain. A whole polyfill would be one more package for twenty lines; where one is loaded later,
 * with the OPC UA library, it asks this one for what is here, through the last three.
 */
type MetadataReflect = {
  getMetadata?: (key: unknown, target: object) => unknown;
  getOwnMetadata?: (key: unknown, target: object) => unknown;
  defineMetadata?: (key: unknown, value: unknown, target: object) => void;
  getOwnMetadataKeys?: (target: object) => unknown[];
  hasOwnMetadata?: (key: unknown, target: object) => boolean;
  deleteMetadata?: (key: unknown, target: object) => boolean;
};

/** Adds the functions to the global `Reflect`, unless something else already did. */
export function installReflectMetadata(): void {
  const reflect = Reflect as MetadataReflect; // not in the standard type
  if (reflect.getMetadata) return;
  const values = new WeakMap<object, Map<unknown, unknown>>();
  reflect.getOwnMetadata = (key, target) => values.get(target)?.get(key);
  reflect.getMetadata = (key, target) => {
    for (let t: object | null = target; t !== null; t = Object.getPrototypeOf(t)) {
      const own = values.get(t);
      if (own?.has(key)) return own.get(key);
    }
    return undefined;
  };
  reflect.defineMetadata = (key, value, target) => {
    const own = values.get(target) ?? new Map<unknown, unknown>();
    own.set(key, value);
    values.set(target, own);
  };
  reflect.getOwnMetadataKeys = (target) => [...values.get(target)?.keys() ?? []];
  reflect.hasOwnMetadata = (key, target) => values.get(target)?.has(key) ?? false;
  reflect.deleteMetadata = (key, target) => values.get(target)?.delete(key) ?? false;
}
