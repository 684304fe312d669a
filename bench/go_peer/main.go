// The least that does on Kafka what ingest does, as Go's own HTTP server and franz-go do it: a key is
// checked, a body is sliced into events without re-encoding, and 200 comes after every
// acknowledgement. No rates, no limits, no Segment routes, no CORS, no metrics.
//
//	go_peer ADDRESS BOOTSTRAP TOPIC KEY
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What is read of an event: its id, and what its partition follows from.
type fields struct {
	MessageID   string `json:"messageId"`
	AnonymousID string `json:"anonymousId"`
}

func main() {
	address, bootstrap, topic, key := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap),
		kgo.RequiredAcks(kgo.AllISRAcks()), // with idempotence, which is the default
		kgo.ProducerLinger(5*time.Millisecond),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.MaxBufferedRecords(100_000),
	)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /v1/events", func(answer http.ResponseWriter, request *http.Request) {
		if request.Header.Get("Authorization") != "Bearer "+key {
			http.Error(answer, "unknown key", http.StatusUnauthorized)
			return
		}
		events, err := sliced(request.Body)
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			return
		}
		records, err := records(topic, events)
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			return
		}
		// not the request's context: who hangs up must not cut a batch short
		if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
			http.Error(answer, err.Error(), http.StatusServiceUnavailable)
			return
		}
		answer.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(answer, "{\"status\":\"stored\",\"events\":%d}\n", len(events))
	})
	log.Fatal(http.ListenAndServe(address, nil))
}

// The events of a body: an object, or an array of them, byte for byte.
func sliced(body io.Reader) ([]json.RawMessage, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	if text = bytes.TrimSpace(text); len(text) == 0 || text[0] != '[' {
		return []json.RawMessage{text}, nil
	}
	var events []json.RawMessage
	return events, json.Unmarshal(text, &events)
}

func records(topic string, events []json.RawMessage) ([]*kgo.Record, error) {
	received := []byte(strconv.FormatInt(time.Now().UnixMilli(), 10))
	made := make([]*kgo.Record, len(events))
	for i, event := range events {
		var found fields
		if err := json.Unmarshal(event, &found); err != nil {
			return nil, err
		}
		made[i] = &kgo.Record{
			Topic: topic,
			Key:   []byte(found.AnonymousID),
			Value: event,
			Headers: []kgo.RecordHeader{
				{Key: "tm-id", Value: []byte(found.MessageID)},
				{Key: "tm-received", Value: received},
				{Key: "tm-key", Value: []byte("server")},
			},
		}
	}
	return made, nil
}
