// Drives the unmodified baileys package by JSON lines: commands on stdin, events on stdout.
//
//   {"cmd":"start","url":…,"dir":…,"ca":file?,"noise_root":hex?,"pair":number?,"name":text?}
//   {"cmd":"send","to":JID,"text":…,"ref":any?,"act":"edit"|"delete"|"react"|"reply"?,"target":id,"mine":bool,"quoted":text}
//   {"cmd":"read","chat":JID,"ids":[…]}
//   {"cmd":"stop"}   {"cmd":"logout"}
//
//   {"event":"qr","qr":…} {"event":"code","code":…} {"event":"open","jid":…,"lid":…}
//   {"event":"close","code":…,"reason":…,"again":bool} {"event":"sent","ref":…,"id":…}
//   {"event":"message","id":…,"from":…,"chat":…,"fromMe":bool,"text":…,"kind":"pkmsg"|"msg","type":…,"t":…,
//    "quoted":id?}
//   {"event":"change","act":"edit"|"delete"|"react","target":id,"from":…,"fromMe":bool,"text":…}
//   {"event":"receipt","id":…,"chat":…,"status":…} {"event":"error","what":…,"text":…}
import { readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { createInterface } from 'node:readline'
import makeWASocket, * as baileys from 'baileys'

const { DisconnectReason, generateMessageIDV2, makeCacheableSignalKeyStore, useMultiFileAuthState, WA_CERT_DETAILS } =
	baileys
const debug = process.env.DRIVER_DEBUG !== undefined
// stdout is for events only; a library of the package prints there
console.log = console.info = console.debug = (...args) => debug && console.error(...args)
const emit = o => process.stdout.write(JSON.stringify(o) + '\n')

const say = level => (...args) => {
	if (debug) {
		process.stderr.write(level + ' ' + args.map(a => (typeof a === 'string' ? a : JSON.stringify(a))).join(' ') + '\n')
	}
}
const logger = {
	level: debug ? 'trace' : 'silent',
	child: () => logger,
	trace: say('trace'),
	debug: say('debug'),
	info: say('info'),
	warn: say('warn'),
	error: say('error')
}

let sock = null
let options = null
let stopping = false
const kinds = new Map() // message id -> type of its enc
const sent = new Map() // message id -> content, for those who ask again

const remember = (map, key, value) => {
	map.set(key, value)
	if (map.size > 20000) {
		map.delete(map.keys().next().value)
	}
}

const textOf = m =>
	m?.conversation ?? m?.extendedTextMessage?.text ?? m?.ephemeralMessage?.message?.conversation ?? null

const quotedOf = m => m?.extendedTextMessage?.contextInfo?.stanzaId ?? null

// What a command asks to be sent, in the words of the package.
const contentOf = c => {
	const key = { remoteJid: c.to, id: c.target, fromMe: c.mine === true }
	switch (c.act) {
		case 'edit':
			return { text: c.text, edit: key }
		case 'delete':
			return { delete: key }
		case 'react':
			return { react: { text: c.text, key } }
		default:
			return { text: c.text }
	}
}
const quotedFor = c =>
	c.act === 'reply'
		? { key: { remoteJid: c.to, id: c.target, fromMe: c.mine === true }, message: { conversation: c.quoted } }
		: undefined

const change = (act, key, target, text) =>
	emit({
		event: 'change',
		act,
		target,
		from: key.participant || key.remoteJid,
		fromMe: key.fromMe === true,
		text: text ?? null
	})

const STATUS = ['error', 'pending', 'server', 'delivered', 'read', 'played']

async function connect() {
	const { state, saveCreds } = await useMultiFileAuthState(options.dir)
	const agent = options.url.startsWith('wss:')
		? new Agent({ ca: options.ca ? readFileSync(options.ca) : undefined })
		: undefined
	const s = makeWASocket({
		auth: { creds: state.creds, keys: makeCacheableSignalKeyStore(state.keys, logger) },
		logger,
		waWebSocketUrl: options.url,
		agent,
		fetchAgent: agent,
		browser: [options.name ?? 'Mac OS', 'Chrome', '14.4.1'],
		syncFullHistory: false,
		markOnlineOnConnect: true,
		getMessage: async key => sent.get(key.id)
	})
	sock = s
	s.ev.on('creds.update', saveCreds)
	s.ws.on('CB:message', node => {
		const enc = Array.isArray(node.content) && node.content.find(c => c.tag === 'enc')
		if (enc) {
			remember(kinds, node.attrs.id, enc.attrs.type)
		}
	})
	let asked = false
	s.ev.on('connection.update', async u => {
		if (u.qr) {
			emit({ event: 'qr', qr: u.qr })
			if (options.pair && !asked) {
				asked = true
				try {
					emit({ event: 'code', code: await s.requestPairingCode(options.pair) })
				} catch (e) {
					emit({ event: 'error', what: 'pair', text: String(e) })
				}
			}
		}
		if (u.connection === 'open') {
			emit({ event: 'open', jid: s.user?.id, lid: s.user?.lid })
		}
		if (u.connection === 'close') {
			const code = u.lastDisconnect?.error?.output?.statusCode ?? 0
			const again = !stopping && code !== DisconnectReason.loggedOut && code !== DisconnectReason.connectionReplaced
			emit({ event: 'close', code, reason: u.lastDisconnect?.error?.message, again })
			if (again) {
				setTimeout(() => connect().catch(fail('connect')), code === DisconnectReason.restartRequired ? 0 : 500)
			}
		}
	})
	s.ev.on('messages.upsert', ({ messages, type }) => {
		for (const m of messages) {
			emit({
				event: 'message',
				id: m.key.id,
				from: m.key.participant || m.key.remoteJid,
				chat: m.key.remoteJid,
				fromMe: m.key.fromMe === true,
				text: textOf(m.message),
				kind: kinds.get(m.key.id) ?? null,
				type,
				t: Number(m.messageTimestamp),
				name: m.pushName ?? null,
				quoted: quotedOf(m.message),
				undecryptable: m.messageStubType === 2
			})
			// a receipt that came while the package held its events back is merged into the message
			if (m.key.fromMe && m.status >= 3) {
				emit({ event: 'receipt', id: m.key.id, chat: m.key.remoteJid, status: STATUS[m.status] })
			}
		}
	})
	s.ev.on('messages.update', updates => {
		for (const { key, update } of updates) {
			if (update.status !== undefined && update.status !== null) {
				emit({ event: 'receipt', id: key.id, chat: key.remoteJid, status: STATUS[update.status] ?? String(update.status) })
			}
			if (update.message?.editedMessage) {
				change('edit', key, key.id, textOf(update.message.editedMessage.message))
			} else if (update.message === null && update.messageStubType === 1) {
				change('delete', update.key ?? key, key.id)
			} else if (update.message) {
				emit({
					event: 'message',
					id: key.id,
					from: key.participant || key.remoteJid,
					chat: key.remoteJid,
					fromMe: key.fromMe === true,
					text: textOf(update.message),
					kind: kinds.get(key.id) ?? null,
					type: 'update',
					quoted: quotedOf(update.message)
				})
			}
		}
	})
	s.ev.on('messages.reaction', reactions => {
		for (const { key, reaction } of reactions) {
			change('react', reaction.key, key.id, reaction.text)
		}
	})
}

const fail = what => e => emit({ event: 'error', what, text: String(e?.stack ?? e) })

const commands = {
	async start(c) {
		options = c
		stopping = false
		if (c.noise_root) {
			WA_CERT_DETAILS.PUBLIC_KEY = Buffer.from(c.noise_root, 'hex')
		}
		await connect()
	},
	async send(c) {
		// known before it leaves: a retry can be asked for at once
		const messageId = generateMessageIDV2(sock.user?.id)
		if (!c.act) {
			remember(sent, messageId, { extendedTextMessage: { text: c.text } })
		}
		await sock.sendMessage(c.to, contentOf(c), { messageId, quoted: quotedFor(c) })
		emit({ event: 'sent', ref: c.ref ?? null, id: messageId })
	},
	async read(c) {
		await sock.readMessages(c.ids.map(id => ({ remoteJid: c.chat, id, fromMe: false })))
	},
	async logout() {
		stopping = true
		await sock.logout()
		emit({ event: 'logged_out' })
	},
	async stop() {
		stopping = true
		sock?.end(undefined)
		setTimeout(() => process.exit(0), 200)
	}
}

// One command at a time: texts leave in the order in which they were asked for.
let queue = Promise.resolve()
const input = createInterface({ input: process.stdin })
input.on('line', line => {
	queue = queue.then(async () => {
		let c = {}
		try {
			c = JSON.parse(line)
			await commands[c.cmd](c)
		} catch (e) {
			emit({ event: 'error', what: c.cmd ?? 'input', ref: c.ref ?? null, text: String(e?.stack ?? e) })
		}
	})
})
input.on('close', () => {
	queue = queue.then(() => commands.stop())
})
process.on('unhandledRejection', fail('unhandled'))
