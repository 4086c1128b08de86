/**
 * What makes a string a valid name: the rules of DNS labels and subdomains, config keys, port names
 * and so on, each returning the sentence the API server prints, or undefined when all is well.
 */
export type NameRule = (value: string) => string | undefined;

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Name of a container, volume, namespace. */
export function dnsLabelProblem(value: string): string | undefined {
  if (value.length > 63) return "must be no more than 63 bytes";
  if (LABEL.test(value)) return undefined;
  return "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', " +
    "and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', " +
    "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
}

/** Name of most objects. */
export function dnsSubdomainProblem(value: string): string | undefined {
  if (value.length > 253) return "must be no more than 253 bytes";
  if (SUBDOMAIN.test(value)) return undefined;
  return "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' " +
    "or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex " +
    "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
}

/** Name of a Service. */
export function dns1035Problem(value: string): string | undefined {
  if (value.length > 63) return "must be no more than 63 bytes";
  if (/^[a-z]([-a-z0-9]*[a-z0-9])?$/.test(value)) return undefined;
  return "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with " +
    "an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or " +
    "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
}

/** A name that stands in a path as it is: Event. */
export function pathSegmentProblem(value: string): string | undefined {
  if (value === "." || value === "..") return `may not be '${value}'`;
  for (const part of ["/", "%"]) {
    if (value.includes(part)) return `may not contain '${part}'`;
  }
  return undefined;
}

/** Key of a ConfigMap or Secret. */
export function configKeyProblem(value: string): string | undefined {
  if (value.length > 253) return "must be no more than 253 bytes";
  if (!/^[-._a-zA-Z0-9]+$/.test(value)) {
    return "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. " +
      "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is " +
      "'[-._a-zA-Z0-9]+')";
  }
  if (value === ".") return "must not be '.'";
  if (value === "..") return "must not be '..'";
  return value.startsWith("..") ? "must not start with '..'" : undefined;
}

/** Name of an environment variable. */
export function envNameProblem(value: string): string | undefined {
  if (/^[ -<>-~]+$/.test(value)) return undefined;
  return "a valid environment variable name must consist only of printable ASCII characters " +
    "other than '='";
}

/** Name of a port. */
export function portNameProblem(value: string): string | undefined {
  if (value.length > 15) return "must be no more than 15 characters";
  if (!/^[-a-z0-9]+$/.test(value)) {
    return "must contain only alphanumeric characters (a-z, 0-9), and hyphens (-)";
  }
  if (!/[a-z]/.test(value)) return "must contain at least one letter (a-z)";
  if (value.includes("--")) return "must not contain consecutive hyphens";
  if (/^-|-$/.test(value)) return "must not begin or end with a hyphen";
  return undefined;
}

/** An IP address, version 4 or 6. */
export function ipProblem(value: string): string | undefined {
  const message = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(value)) {
    const good = value.split(".").every((part) => String(Number(part)) === part && +part <= 255);
    return good ? undefined : message;
  }
  if (!value.includes(":")) return message;
  return URL.canParse(`http://[${value}]/`) ? undefined : message;
}

/** A path below some folder: not absolute, no way up. */
export function localPathProblem(value: string): string | undefined {
  if (value.startsWith("/")) return "must be a relative path";
  return value.split("/").includes("..") ? "must not contain '..'" : undefined;
}
