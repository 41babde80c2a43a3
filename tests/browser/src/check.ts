// Named checks, one after the other.

/** Says that the check holds, or ends the program with its name. */
export async function check(name: string, body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    console.error(`not so: ${name}`);
    throw error;
  }
  console.log(`holds: ${name}`);
}
