/**
 * The hub's three services over Connect. Enrolment is open; everything else begins by asking the
 * connection's certificate who the node is, and nothing a message says can change that.
 */
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { create } from "@bufbuild/protobuf";
import type { Clock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import {
  EnrollmentService,
  type Frame,
  GoAwayReason,
  type Hello,
  HubService,
  type SessionRequest,
  type SessionResponse,
  type TunnelRequest,
  type TunnelResponse,
  TunnelResponseSchema,
  TunnelService,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { toConnectError } from "../../shared/wire/rpc_errors.ts";
import type { TrafficCounters } from "../../shared/wire/traffic.ts";
import { PEER, type Peer } from "./peer.ts";
import type { NodeIdentities, TunnelEnd } from "./port.ts";
import type { SessionRegistry } from "./registry.ts";
import { checkGeneration, type NodeSession, type SessionOptions } from "./session.ts";

/** How long a stream may take to say its first word. */
const FIRST_MESSAGE_MS = 10_000;
/** Enrolments at once: each costs signatures and syncs, and the door is open to anyone. */
const ENROLLMENTS_MAX = 16;
const NAME_CHARS_MAX = 64;

export interface ServicesOptions {
  identities: NodeIdentities;
  registry: SessionRegistry;
  /** Told to nodes at enrolment, as host:port. */
  addresses: () => readonly string[];
  openSession: (of: Pick<SessionOptions, "node" | "keyHash" | "peer" | "hello">) => NodeSession;
  openTunnel: () => TunnelEnd;
  /** Counts what goes through tunnels. */
  traffic: TrafficCounters;
  /** Owns the task until it ends. */
  own: (task: Promise<void>) => void;
  clock: Clock;
}

export class HubServices {
  readonly #options: ServicesOptions;
  #enrollments = 0;

  constructor(options: ServicesOptions) {
    this.#options = options;
  }

  register(router: ConnectRouter): void {
    const { identities } = this.#options;
    router.service(EnrollmentService, {
      getAuthority: () => ({ caCertificate: identities.authorityCertificate }),
      enroll: (request) => mapErrors(() => this.#enroll(request)),
    });
    router.service(HubService, {
      session: (requests, context) =>
        mapStreamErrors(this.#session(requests, context.values.get(PEER))),
      renew: (request, context) =>
        mapErrors(async () => {
          const { node, shown } = await this.#identify(context.values.get(PEER), "renew");
          const certificate = await identities.renew(node, request.certificateRequest, shown);
          return { certificate, caCertificate: identities.authorityCertificate };
        }),
    });
    router.service(TunnelService, {
      tunnel: (requests, context) => mapStreamErrors(this.#tunnel(requests, context)),
    });
  }

  async #enroll(request: { token: string; nodeName: string; certificateRequest: string }) {
    const { identities, registry, addresses } = this.#options;
    if (this.#enrollments >= ENROLLMENTS_MAX) {
      throw new AppError("exhausted", "Too many enrolments at once: try again in a moment");
    }
    this.#enrollments++;
    try {
      const { certificate, keyHash } = await identities.enroll(request);
      const present = registry.session(request.nodeName);
      if (present && present.keyHash !== keyHash) {
        present.end(GoAwayReason.REVOKED, "The node was enrolled again with another key");
      }
      return {
        certificate,
        caCertificate: identities.authorityCertificate,
        nodeName: request.nodeName,
        hubAddresses: [...addresses()].slice(0, 16),
      };
    } finally {
      this.#enrollments--;
    }
  }

  /** Begins a session; what it gives is what the node is told, to its end. */
  async openSession(
    requests: AsyncIterable<SessionRequest>,
    peer: Peer,
  ): Promise<AsyncIterable<SessionResponse>> {
    const { registry, openSession, own } = this.#options;
    const { node, keyHash } = await this.#identify(peer, "session");
    const { first, rest } = await this.#begin(requests);
    if (first.message.case !== "hello") throw new AppError("invalid", "Hello must come first");
    checkHello(first.message.value);
    const session = openSession({ node, keyHash, peer, hello: first.message.value });
    await registry.admit(session);
    const running = session.run(rest).catch((error) => {
      session.end(GoAwayReason.SHUTDOWN, "Internal error");
      throw error;
    });
    own(running.finally(() => registry.remove(session)));
    return session.outgoing;
  }

  async *#session(
    requests: AsyncIterable<SessionRequest>,
    peer: Peer,
  ): AsyncGenerator<SessionResponse, void, void> {
    yield* await this.openSession(requests, peer);
  }

  async *#tunnel(
    requests: AsyncIterable<TunnelRequest>,
    context: HandlerContext,
  ): AsyncGenerator<TunnelResponse, void, void> {
    const { registry, openTunnel, traffic, own } = this.#options;
    const { node } = await this.#identify(context.values.get(PEER), "session");
    const { first, rest } = await this.#begin(requests);
    const hello = first.frame?.kind;
    if (hello?.case !== "hello") throw new AppError("invalid", "Tunnel's hello must come first");
    const session = registry.session(node);
    const { instanceId, sessionNumber } = hello.value;
    if (session?.instanceId !== instanceId || session.sessionNumber !== sessionNumber) {
      throw new AppError("stale", "Cannot open tunnel: its session is not live");
    }
    const tunnel = openTunnel();
    session.attachTunnel(tunnel);
    const frames = framesOf(rest, traffic);
    own(tunnel.run(frames).finally(() => session.detachTunnel(tunnel)));
    for await (const frame of tunnel.frames) {
      traffic.tunnel("down", frame);
      yield create(TunnelResponseSchema, { frame });
    }
  }

  async #identify({ certificate }: Peer, purpose: "session" | "renew") {
    if (!certificate) {
      throw new AppError("unauthenticated", "A client certificate is needed: enrol first");
    }
    const who = await this.#options.identities.identify(certificate, purpose);
    return { ...who, shown: certificate };
  }

  /** The first message, in time, and what follows it. */
  async #begin<T>(requests: AsyncIterable<T>): Promise<{ first: T; rest: AsyncIterable<T> }> {
    const iterator = requests[Symbol.asyncIterator]();
    const inTime = new AbortController();
    const late = this.#options.clock.sleep(FIRST_MESSAGE_MS, inTime.signal).then(
      () => undefined,
      () => undefined, // stopped below
    );
    const result = await Promise.race([iterator.next(), late]);
    inTime.abort();
    if (!result || result.done) {
      throw new AppError("invalid", "The first message did not come in time");
    }
    return { first: result.value, rest: { [Symbol.asyncIterator]: () => iterator } };
  }
}

function checkHello(hello: Hello): void {
  checkGeneration(hello.generation);
  const { instanceId, softwareVersion, protocolVersion } = hello;
  if (protocolVersion < 1) {
    throw new AppError("invalid", `Hello's protocol version must be >= 1, got ${protocolVersion}`);
  }
  if (instanceId === "" || instanceId.length > NAME_CHARS_MAX) {
    throw new AppError(
      "invalid",
      `Hello's instance id must have 1 to ${NAME_CHARS_MAX} characters`,
    );
  }
  if (softwareVersion.length > NAME_CHARS_MAX || hello.cloudId.length > NAME_CHARS_MAX) {
    throw new AppError("invalid", `Hello's texts must have <= ${NAME_CHARS_MAX} characters`);
  }
}

async function* framesOf(
  requests: AsyncIterable<TunnelRequest>,
  traffic: TrafficCounters,
): AsyncGenerator<Frame> {
  for await (const { frame } of requests) {
    if (!frame) continue;
    traffic.tunnel("up", frame);
    yield frame;
  }
}

async function mapErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toConnectError(error);
  }
}

async function* mapStreamErrors<T>(stream: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* stream;
  } catch (error) {
    throw toConnectError(error);
  }
}
