/**
 * Runs `work` with a stack of things to end: whatever is deferred on it is ended in reverse order
 * when the work is over, however it ends. For use in place of `await using`, which the bundler's
 * minifier loses.
 */
export async function withResources<T>(
  work: (stack: AsyncDisposableStack) => Promise<T>,
): Promise<T> {
  const stack = new AsyncDisposableStack();
  try {
    return await work(stack);
  } finally {
    await stack.disposeAsync();
  }
}
