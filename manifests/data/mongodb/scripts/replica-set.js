// Runs in mongosh against the pod's own member (sidecar.sh), and brings the replica set one step closer to its desired state.
//
// - Only the first member initiates the set, only if it is in no set yet, and only if every other member responds that it
//   is in none either. A first member that lost its disk therefore never starts a second set next to the existing one.
// - Only the primary reconfigures, because no other member can: one member per step, never by force, members by DNS names.
//   The primary is the first member until an election selects another one.
// - A member is added when it responds, and removed when its ordinal is not below the number of members. Neither happens
//   while a member that stays is unhealthy, for example because it is still catching up.
//
// Reads HOSTNAME (mongodb-0), SERVICE (mongodb.mongodb.svc.cluster.local), MEMBERS (3), REPLICA_SET, MONGODB_PORT,
// and the passwords of the users that it creates.
/* global db, Mongo, print */

const NOT_YET_INITIALIZED = 94;
const UNAUTHORIZED = 13;
const AUTHENTICATION_FAILED = 18;
const PRIMARY = 1;
const SECONDARY = 2;

const need = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} must be set`);
  return value;
};
const port = process.env.MONGODB_PORT || '27017';
const [, setName, ordinalText] = /^(.+)-(\d+)$/.exec(need('HOSTNAME')) || [];
if (setName === undefined) throw new Error(`HOSTNAME is ${need('HOSTNAME')}: must end in the pod's ordinal`);
const ordinal = Number(ordinalText);
const members = Number(need('MEMBERS'));
if (!Number.isInteger(members) || members < 1) throw new Error(`MEMBERS is ${need('MEMBERS')}: must be a number of members`);
const hostOf = (number) => `${setName}-${number}.${need('SERVICE')}:${port}`;
const ordinalOf = (host) => {
  const match = new RegExp(`^${setName}-(\\d+)\\.`).exec(host);
  return match ? Number(match[1]) : undefined;
};

const admin = db.getSiblingDB('admin');
const say = (text) => print(`replica-set.js: ${text}`);

// Runs a command and returns an error as its response.
const run = (database, command) => {
  try {
    return database.runCommand(command);
  } catch (error) {
    return { ok: 0, code: error.code, errmsg: error.message };
  }
};

// The `hello` response of another member, which needs no password; undefined if the member does not respond.
const hello = (host) => {
  try {
    const other = new Mongo(`mongodb://${host}/?directConnection=true&serverSelectionTimeoutMS=3000`);
    const answer = run(other.getDB('admin'), { hello: 1 });
    return answer.ok ? answer : undefined;
  } catch (error) {
    return undefined;
  }
};

// Logs in as root. Until the first user exists, the login fails, and MongoDB allows local clients to create that user (the
// localhost exception).
const login = () => {
  try {
    return Boolean(admin.auth('root', need('ROOT_PASSWORD')));
  } catch (error) {
    if (error.code === AUTHENTICATION_FAILED) return false;
    throw error;
  }
};

const initiate = () => {
  if (ordinal !== 0) return say('not initialised yet; the first member will do it');
  // Also checks one member beyond the desired number, which may be left from a set that was scaled down.
  for (let number = 1; number <= members; number += 1) {
    const answer = hello(hostOf(number));
    if (!answer && number >= members) continue;
    if (!answer) return say(`not initialised yet; waiting for ${hostOf(number)} to respond`);
    if (answer.setName) {
      return say(`${hostOf(number)} is in the set ${answer.setName} already: this member waits until that set adds it again`);
    }
  }
  const answer = run(admin, {
    replSetInitiate: { _id: need('REPLICA_SET'), members: [{ _id: 0, host: hostOf(0) }] },
  });
  if (!answer.ok) throw new Error(`replSetInitiate: ${answer.errmsg}`);
  return say(`initiated ${need('REPLICA_SET')} with ${hostOf(0)}`);
};

// Creates the users, each with only the roles that it needs. The first user ends the localhost exception.
const createUsers = (loggedIn) => {
  if (!loggedIn) {
    const answer = run(admin, { createUser: 'root', pwd: need('ROOT_PASSWORD'), roles: [{ role: 'root', db: 'admin' }] });
    if (!answer.ok) throw new Error(`user root: ${answer.errmsg}`);
    admin.auth('root', need('ROOT_PASSWORD'));
    say('created the user root');
  }
  const wanted = [
    // percona/mongodb_exporter, which admission adds to the pod.
    ['exporter', 'EXPORTER_PASSWORD', [{ role: 'clusterMonitor', db: 'admin' }, { role: 'read', db: 'local' }]],
    // The applications.
    ['shop', 'SHOP_PASSWORD', [{ role: 'readWrite', db: 'shop' }]],
  ];
  const there = admin.runCommand({ usersInfo: 1 }).users.map((user) => user.user);
  for (const [user, password, roles] of wanted.filter(([name]) => !there.includes(name))) {
    const answer = run(admin, { createUser: user, pwd: need(password), roles });
    if (!answer.ok) throw new Error(`user ${user}: ${answer.errmsg}`);
    say(`created the user ${user}`);
  }
};

// The next change, as a new list of members and a message; undefined if no change is needed.
const nextChange = (current) => {
  const there = current.map((member) => member.host);
  for (let number = 0; number < members; number += 1) {
    const host = hostOf(number);
    if (!there.includes(host)) {
      const answer = hello(host);
      if (answer && (answer.isWritablePrimary || (answer.setName && answer.setName !== need('REPLICA_SET')))) {
        say(`${host} is in a set of its own: not added. Save its data if you need it, then delete its PersistentVolumeClaim`);
      } else if (answer) {
        const id = Math.max(...current.map((member) => member._id)) + 1;
        return [[...current, { _id: id, host }], `added ${host}`];
      }
      if (!answer) say(`${host} does not answer yet`);
    }
  }
  const beyond = current.filter((member) => ordinalOf(member.host) >= members);
  // The highest ordinal first, as a StatefulSet scales down. Never this primary itself: it steps down first (reconfigure).
  const leaving = beyond.sort((a, b) => ordinalOf(b.host) - ordinalOf(a.host)).find((m) => m.host !== hostOf(ordinal));
  if (!leaving) return undefined;
  return [current.filter((member) => member !== leaving), `removed ${leaving.host}`];
};

const reconfigure = (status) => {
  const good = (member) => member.state === PRIMARY || member.state === SECONDARY;
  const config = run(admin, { replSetGetConfig: 1 }).config;
  if (!config) throw new Error('replSetGetConfig gave no configuration');
  const change = nextChange(config.members);
  if (!change) {
    if (ordinal >= members) {
      // MongoDB rejects this if no other member can take over.
      const answer = run(admin, { replSetStepDown: 60 });
      say(answer.ok ? 'stepped down, to be removed' : `cannot step down: ${answer.errmsg}`);
    }
    return;
  }
  const [changed, what] = change;
  // The member that leaves may be down already, but all members that stay must be healthy.
  const stays = (member) => changed.some((other) => other.host === member.name);
  const ill = status.members.filter((member) => stays(member) && !good(member));
  if (ill.length > 0) {
    say(`waiting to change the members: ${ill.map((member) => `${member.name} is ${member.stateStr}`).join(', ')}`);
    return;
  }
  const answer = run(admin, { replSetReconfig: { ...config, version: config.version + 1, members: changed } });
  if (!answer.ok) throw new Error(`replSetReconfig: ${answer.errmsg}`);
  say(what);
};

const step = () => {
  const loggedIn = login();
  const status = run(admin, { replSetGetStatus: 1 });
  if (!status.ok) {
    if (status.code === NOT_YET_INITIALIZED) return initiate();
    // Users exist, and root's password differs from the one in the Secret.
    if (status.code === UNAUTHORIZED && !loggedIn) {
      throw new Error('root cannot log in: has its password in the Secret changed since the user was created?');
    }
    throw new Error(`replSetGetStatus: ${status.errmsg}`);
  }
  if (status.myState !== PRIMARY) return undefined;
  createUsers(loggedIn);
  return reconfigure(status);
};

step();
