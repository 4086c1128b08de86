/** Where a build embeds what is no part of the bundle, relative to the top of its files. */

/** What an edge with an OPC UA device loads: node-opcua, bundled. */
export const EMBEDDED_OPCUA_PATH = "dist/opcua_library.js";
