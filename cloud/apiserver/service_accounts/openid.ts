/** What others need to check a service account's token: where its issuer is, and its keys. */
import type { Hono } from "hono";
import type { ApiBindings } from "../app.ts";
import type { TokenSigner, UserInfo } from "../port.ts";

const JWKS_PATH = "/openid/v1/jwks";

type App = Hono<{ Bindings: ApiBindings; Variables: { user: UserInfo } }>;

export function addOpenId(app: App, signer: TokenSigner): void {
  app.get("/.well-known/openid-configuration", (context) =>
    context.json({
      issuer: signer.issuer,
      // where this was asked: behind other names and ports the server cannot know its own
      jwks_uri: new URL(JWKS_PATH, context.req.url).href,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: signer.keys.map(({ alg }) => alg),
    }));
  app.get(JWKS_PATH, (context) => {
    const headers = { "content-type": "application/jwk-set+json" };
    return context.body(JSON.stringify({ keys: signer.keys }), 200, headers);
  });
}
