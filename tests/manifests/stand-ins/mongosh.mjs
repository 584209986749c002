// Replaces mongosh in tests: runs a script as mongosh does, against members with predefined answers.
//
//   node mongosh.mjs SCRIPT SCENARIO
//
// SCENARIO is a JSON file. `own` has the answers of this member by command name, each `{ok: 1, …}` or `{ok: 0, code,
// errmsg}`. `others` has the answers to `hello` by host. `passwords` has the valid logins. The output is a JSON
// object: `done` lists every command, login and printed line of the script, and `failed` has its error.
import { readFileSync } from 'node:fs';
import vm from 'node:vm';

const [, , script, scenarioFile] = process.argv;
const scenario = JSON.parse(readFileSync(scenarioFile, 'utf8'));
const done = [];

class ServerError extends Error {
  constructor({ code, errmsg }) {
    super(errmsg);
    this.code = code;
  }
}

const answer = (answers, command) => {
  const name = Object.keys(command)[0];
  const given = answers[name] ?? { ok: 1 };
  // mongosh throws the server's errors.
  if (!given.ok) throw new ServerError(given);
  return given;
};

const database = (name) => ({
  getSiblingDB: database,
  runCommand: (command) => {
    done.push({ on: name, command });
    return answer(scenario.own, command);
  },
  auth: (user, password) => {
    const right = (scenario.passwords ?? {})[user] === password;
    const created = done.some((step) => step.command?.createUser === user && step.command.pwd === password);
    done.push({ auth: user, right: right || created });
    if (!right && !created) throw new ServerError({ code: 18, errmsg: 'Authentication failed.' });
    return { ok: 1 };
  },
});

class Mongo {
  constructor(uri) {
    const host = new URL(uri.replace('mongodb://', 'http://')).host;
    if (!scenario.others?.[host]) throw new Error(`getaddrinfo ENOTFOUND ${host}`);
    this.host = host;
  }

  getDB() {
    return { runCommand: (command) => answer({ hello: scenario.others[this.host] }, command) };
  }
}

let failed;
try {
  vm.runInNewContext(
    readFileSync(script, 'utf8'),
    { db: database('test'), Mongo, print: (line) => done.push({ print: line }), process: { env: process.env } },
    { filename: script },
  );
} catch (error) {
  failed = error.message;
}
console.log(JSON.stringify({ done, failed }));
