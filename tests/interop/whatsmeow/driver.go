// Drives the unmodified whatsmeow module by JSON lines; tests/interop/README.md has the contract.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/store/sqlstore"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"
	waLog "go.mau.fi/whatsmeow/util/log"
	"google.golang.org/protobuf/proto"
)

type command struct {
	Cmd       string   `json:"cmd"`
	URL       string   `json:"url"`
	CA        string   `json:"ca"`
	Dir       string   `json:"dir"`
	NoiseRoot string   `json:"noise_root"`
	Name      string   `json:"name"`
	Pair      string   `json:"pair"`
	To        string   `json:"to"`
	Text      string   `json:"text"`
	Act       string   `json:"act"`
	Target    string   `json:"target"`
	Mine      bool     `json:"mine"`
	Quoted    string   `json:"quoted"`
	Ref       any      `json:"ref"`
	Chat      string   `json:"chat"`
	IDs       []string `json:"ids"`
}

type event map[string]any

var out struct {
	sync.Mutex
	*json.Encoder
}

func emit(kind string, e event) {
	e["event"] = kind
	out.Lock()
	defer out.Unlock()
	_ = out.Encode(e)
}

// What was sent, for those who ask again: the library itself keeps the last 256.
var sent sync.Map

type driver struct {
	client *whatsmeow.Client
	pair   string
}

// transport dials the test service, whatever host the library names: its URL is a constant, its HTTP client is not.
func transport(to, ca string) (*http.Client, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate", ca)
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, u.Host)
		},
		TLSClientConfig: &tls.Config{RootCAs: roots},
	}}, nil
}

func openStore(ctx context.Context, dir string) (*store.Device, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(dir, "whatsmeow.db")+
		"?_foreign_keys=on&_journal_mode=WAL&_synchronous=FULL&_txlock=immediate&_busy_timeout=5000")
	if err != nil {
		return nil, err
	}
	container := sqlstore.NewWithDB(db, "sqlite3", nil)
	if err = container.Upgrade(ctx); err != nil {
		return nil, err
	}
	return container.GetFirstDevice(ctx)
}

func (d *driver) start(ctx context.Context, c command) error {
	root, err := hex.DecodeString(c.NoiseRoot)
	if err != nil || len(root) != len(whatsmeow.WACertPubKey) {
		return fmt.Errorf("noise_root: not %d bytes of hex", len(whatsmeow.WACertPubKey))
	}
	copy(whatsmeow.WACertPubKey[:], root)
	web, err := transport(c.URL, c.CA)
	if err != nil {
		return err
	}
	device, err := openStore(ctx, c.Dir)
	if err != nil {
		return err
	}
	if device.PushName == "" {
		device.PushName = c.Name
	}
	log := waLog.Noop
	if os.Getenv("DRIVER_DEBUG") != "" {
		log = stderrLog("whatsmeow")
	}
	d.pair = c.Pair
	d.client = whatsmeow.NewClient(device, log)
	d.client.SetWebsocketHTTPClient(web)
	d.client.SetPreLoginHTTPClient(web)
	d.client.SetMediaHTTPClient(web)
	d.client.GetMessageForRetry = func(_, _ types.JID, id types.MessageID) *waE2E.Message {
		if m, ok := sent.Load(id); ok {
			return m.(*waE2E.Message)
		}
		return nil
	}
	d.client.AutoReconnectHook = func(err error) bool {
		emit("close", event{"code": 0, "reason": err.Error(), "again": true})
		return true
	}
	d.client.AddEventHandler(d.handle)
	if device.ID == nil {
		codes, err := d.client.GetQRChannel(ctx)
		if err != nil {
			return err
		}
		go d.link(ctx, codes)
	}
	go d.connect(ctx)
	return nil
}

// connect tries until it is connected; the library itself goes on from there.
func (d *driver) connect(ctx context.Context) {
	for {
		err := d.client.ConnectContext(ctx)
		if err == nil {
			return
		}
		emit("close", event{"code": 0, "reason": err.Error(), "again": true})
		time.Sleep(500 * time.Millisecond)
	}
}

func (d *driver) link(ctx context.Context, codes <-chan whatsmeow.QRChannelItem) {
	for item := range codes {
		if item.Event != whatsmeow.QRChannelEventCode {
			continue
		}
		emit("qr", event{"qr": item.Code})
		if d.pair == "" {
			continue
		}
		code, err := d.client.PairPhone(ctx, d.pair, true, whatsmeow.PairClientChrome, "Chrome (Linux)")
		if err != nil {
			emit("error", event{"what": "pair", "text": err.Error()})
			continue
		}
		d.pair = ""
		emit("code", event{"code": code})
	}
}

func (d *driver) handle(raw any) {
	switch e := raw.(type) {
	case *events.Connected:
		emit("open", event{"jid": d.client.Store.GetJID().String(), "lid": d.client.Store.GetLID().String()})
		// shown as available, its receipts are those of a client in use
		if err := d.client.SendPresence(context.Background(), types.PresenceAvailable); err != nil {
			emit("error", event{"what": "presence", "text": err.Error()})
		}
	case *events.Disconnected:
		emit("close", event{"code": 0, "reason": "disconnected", "again": true})
	case events.PermanentDisconnect:
		code := 0
		if out, ok := e.(*events.LoggedOut); ok {
			code = int(out.Reason)
		}
		emit("close", event{"code": code, "reason": e.PermanentDisconnectDescription(), "again": false})
	case *events.PairError:
		emit("error", event{"what": "pair", "text": e.Error.Error()})
	case *events.Message:
		if c := change(&e.Info, e.Message); c != nil {
			emit("change", c)
			return
		}
		emit("message", message(&e.Info, e.Message, false))
	case *events.UndecryptableMessage:
		emit("message", message(&e.Info, nil, true))
	case *events.Receipt:
		status := string(e.Type)
		if e.Type == types.ReceiptTypeDelivered || e.Type == "inactive" {
			status = "delivered"
		}
		for _, id := range e.MessageIDs {
			emit("receipt", event{"id": id, "chat": e.Chat.String(), "from": e.Sender.String(), "status": status})
		}
	}
}

// change is what e says of an earlier message, or nil.
func change(info *types.MessageInfo, m *waE2E.Message) event {
	e := event{"from": info.Sender.String(), "fromMe": info.IsFromMe, "text": nil}
	p := m.GetProtocolMessage()
	switch {
	case m.GetReactionMessage() != nil:
		e["act"], e["target"], e["text"] = "react", m.GetReactionMessage().GetKey().GetID(), m.GetReactionMessage().GetText()
	case p.GetType() == waE2E.ProtocolMessage_MESSAGE_EDIT && p.GetEditedMessage() != nil:
		e["act"], e["target"], e["text"] = "edit", p.GetKey().GetID(), text(p.GetEditedMessage())
	case p != nil && p.GetType() == waE2E.ProtocolMessage_REVOKE:
		e["act"], e["target"] = "delete", p.GetKey().GetID()
	default:
		return nil
	}
	return e
}

func text(m *waE2E.Message) any {
	if m.GetConversation() != "" {
		return m.GetConversation()
	}
	if m.GetExtendedTextMessage().GetText() != "" {
		return m.GetExtendedTextMessage().GetText()
	}
	return nil
}

func message(info *types.MessageInfo, m *waE2E.Message, undecryptable bool) event {
	e := event{
		"id": info.ID, "from": info.Sender.String(), "chat": info.Chat.String(), "fromMe": info.IsFromMe, "text": text(m),
		"t": info.Timestamp.Unix(), "name": info.PushName, "undecryptable": undecryptable,
	}
	if id := m.GetExtendedTextMessage().GetContextInfo().GetStanzaID(); id != "" {
		e["quoted"] = id
	}
	return e
}

// content is what a command asks to be sent, in the words of the library.
func (d *driver) content(c command, to types.JID) *waE2E.Message {
	author := to
	if c.Mine {
		author = types.EmptyJID
	}
	switch c.Act {
	case "edit":
		return d.client.BuildEdit(to, c.Target, &waE2E.Message{Conversation: proto.String(c.Text)})
	case "delete":
		return d.client.BuildRevoke(to, types.EmptyJID, c.Target)
	case "react":
		return d.client.BuildReaction(to, author, c.Target, c.Text)
	case "reply":
		return &waE2E.Message{ExtendedTextMessage: &waE2E.ExtendedTextMessage{
			Text: proto.String(c.Text),
			ContextInfo: &waE2E.ContextInfo{
				StanzaID:      proto.String(c.Target),
				Participant:   proto.String(to.String()),
				QuotedMessage: &waE2E.Message{Conversation: proto.String(c.Quoted)},
			},
		}}
	}
	return &waE2E.Message{Conversation: proto.String(c.Text)}
}

func (d *driver) send(ctx context.Context, c command) error {
	to, err := types.ParseJID(c.To)
	if err != nil {
		return err
	}
	id := d.client.GenerateMessageID()
	m := d.content(c, to)
	sent.Store(id, m)
	if _, err = d.client.SendMessage(ctx, to, m, whatsmeow.SendRequestExtra{ID: id}); err != nil {
		return err
	}
	emit("sent", event{"ref": c.Ref, "id": id})
	return nil
}

func (d *driver) read(ctx context.Context, c command) error {
	chat, err := types.ParseJID(c.Chat)
	if err != nil {
		return err
	}
	return d.client.MarkRead(ctx, c.IDs, time.Now(), chat, types.EmptyJID)
}

func (d *driver) do(ctx context.Context, c command) error {
	if c.Cmd == "start" {
		return d.start(ctx, c)
	}
	if c.Cmd == "stop" {
		if d.client != nil {
			d.client.Disconnect()
		}
		os.Exit(0)
	}
	if d.client == nil {
		return errors.New("not started")
	}
	switch c.Cmd {
	case "send":
		return d.send(ctx, c)
	case "read":
		return d.read(ctx, c)
	case "logout":
		if err := d.client.Logout(ctx); err != nil {
			return err
		}
		emit("logged_out", event{})
		return nil
	}
	return errors.New("unknown command")
}

// stderrLog writes what the library says to stderr: stdout is for events only.
type stderrLog string

func (l stderrLog) say(level, format string, args []any) {
	fmt.Fprintf(os.Stderr, "%s %s %s: %s\n", time.Now().Format("15:04:05.000"), level, string(l), fmt.Sprintf(format, args...))
}
func (l stderrLog) Errorf(format string, args ...any) { l.say("error", format, args) }
func (l stderrLog) Warnf(format string, args ...any)  { l.say("warn", format, args) }
func (l stderrLog) Infof(format string, args ...any)  { l.say("info", format, args) }
func (l stderrLog) Debugf(format string, args ...any) { l.say("debug", format, args) }
func (l stderrLog) Sub(name string) waLog.Logger      { return l + "/" + stderrLog(name) }

func main() {
	out.Encoder = json.NewEncoder(os.Stdout)
	d, ctx := &driver{}, context.Background()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	// One command at a time: texts leave in the order in which they were asked for.
	for lines.Scan() {
		var c command
		err := json.Unmarshal(lines.Bytes(), &c)
		if err == nil {
			err = d.do(ctx, c)
		}
		if err != nil {
			emit("error", event{"what": c.Cmd, "ref": c.Ref, "text": err.Error()})
		}
	}
	_ = d.do(ctx, command{Cmd: "stop"})
}
