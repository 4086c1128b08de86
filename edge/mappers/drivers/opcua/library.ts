/**
 * What is used of node-opcua: the channel with its encoding and security, and the services. Nothing
 * of this program is here, so that a build can put it into a file of its own, which only a node
 * with an OPC UA device reads (load_library.ts). node-opcua's own client is left out: it brings
 * what writes files and locks them.
 */
export { StaticCertificateChainProvider } from "node-opcua-common";
export { makePrivateKeyFromPem } from "node-opcua-crypto/web";
export { resolveNodeId } from "node-opcua-nodeid";
export {
  ClientSecureChannelLayer,
  computeSignatureAsync,
  getCryptoFactory,
  MessageSecurityMode,
  SecurityPolicy,
  verifySignature,
} from "node-opcua-secure-channel";
export { GetEndpointsRequest, GetEndpointsResponse } from "node-opcua-service-endpoints";
export { AttributeIds, ReadRequest, ReadResponse } from "node-opcua-service-read";
export {
  ActivateSessionRequest,
  ActivateSessionResponse,
  AnonymousIdentityToken,
  CloseSessionRequest,
  CreateSessionRequest,
  CreateSessionResponse,
  UserNameIdentityToken,
} from "node-opcua-service-session";
export { WriteRequest, WriteResponse } from "node-opcua-service-write";
export { DataType, VariantArrayType } from "node-opcua-variant";
