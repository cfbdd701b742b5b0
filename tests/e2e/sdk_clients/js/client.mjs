// The official JavaScript clients: `node client.mjs VERSION {"<agent>": "<base URL>", ...}`, VERSION 0.3 or 1.3.
//
// Each finds its agent by the card at the base URL, tries every operation, and prints what came of it: `ok`, or the name
// of the error.

import { randomUUID } from 'node:crypto';

const [version, agents] = [process.argv[2], JSON.parse(process.argv[3])];
const isOld = version === '0.3';
const { ClientFactory } = await import(isOld ? 'sdk-0.3/client' : 'sdk-1.3/client');

const WEBHOOK = 'http://127.0.0.1:9/webhook';

function message(text) {
  const shared = { messageId: randomUUID() };
  if (isOld) {
    return { message: { ...shared, kind: 'message', role: 'user', parts: [{ kind: 'text', text }] } };
  }
  const content = { content: { $case: 'text', value: text }, filename: '', mediaType: '' };
  return {
    tenant: '',
    message: { ...shared, contextId: '', taskId: '', role: 1, parts: [content], extensions: [], referenceTaskIds: [] },
  };
}

function textOf(artifact) {
  return artifact.parts.map((part) => (isOld ? part.text : part.content.value)).join('');
}

const STATES = ['unknown', 'submitted', 'working', 'completed', 'failed', 'canceled', 'input-required'];

function stateOf(status) {
  return isOld ? status.state : STATES[status.state];
}

async function openTask(client) {
  return (await client.sendMessage(message('wait'))).id;
}

function events(stream) {
  return isOld ? stream : mapPayloads(stream);
}

async function* mapPayloads(stream) {
  for await (const event of stream) {
    yield event.payload.value;
  }
}

const operations = {
  async send(client) {
    const task = await client.sendMessage(message('hello'));
    return stateOf(task.status) === 'completed' && task.artifacts.map(textOf).join('') === 'hello';
  },
  async stream(client) {
    let [text, state] = ['', ''];
    for await (const event of events(client.sendMessageStream(message('hello')))) {
      text += event.artifact ? textOf(event.artifact) : '';
      state = event.status ? stateOf(event.status) : state;
    }
    return text === 'hello' && state === 'completed';
  },
  async get(client) {
    const id = await openTask(client);
    return (await client.getTask({ tenant: '', id })).id === id;
  },
  async cancel(client) {
    return stateOf((await client.cancelTask({ tenant: '', id: await openTask(client) })).status) === 'canceled';
  },
  async list(client) {
    const id = await openTask(client);
    const { tasks } = await client.listTasks({ tenant: '', contextId: '', status: 0, pageToken: '' });
    return tasks.some((task) => task.id === id);
  },
  async 'push set'(client) {
    const taskId = await openTask(client);
    const config = isOld
      ? await client.setTaskPushNotificationConfig({ taskId, pushNotificationConfig: { id: 'p', url: WEBHOOK } })
      : await client.createTaskPushNotificationConfig({ tenant: '', taskId, id: 'p', url: WEBHOOK, token: '' });
    return JSON.stringify(config).includes(WEBHOOK);
  },
};

async function tryAll(url) {
  const client = await new ClientFactory().createFromUrl(url);
  const found = {};
  for (const [name, attempt] of Object.entries(operations)) {
    if (isOld && name === 'list') continue;
    try {
      found[name] = (await attempt(client)) ? 'ok' : 'wrong';
    } catch (error) {
      found[name] = error.constructor.name === 'Error' ? `broken: ${error.message}` : error.constructor.name;
    }
  }
  return found;
}

const found = {};
for (const [name, url] of Object.entries(agents)) {
  found[name] = await tryAll(url);
}
process.stdout.write(JSON.stringify(found));
