package pusher

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
)

// MaxChannels is how many channels one call of PublishToSeveral reaches
// (pusher.com/docs/channels/library_auth_reference/rest-api, POST events).
const MaxChannels = 100

// PublishToSeveral sends one event to 1 to MaxChannels channels in one request. None may
// be encrypted. Errors are those of [Client.PublishBatch].
func (c *Client) PublishToSeveral(ctx context.Context, channels []string, name string, data []byte) error {
	const op = "publish to several"
	switch {
	case len(channels) == 0:
		return fmt.Errorf("%s: %w", op, ErrNoEvents)
	case len(channels) > MaxChannels:
		return fmt.Errorf("%s: %w", op, ErrTooMany)
	}
	for i, channel := range channels {
		err := c.checkEvent(&Event{Channel: channel, Name: name, Data: data})
		if err == nil && isEncrypted(channel) {
			err = ErrChannel
		}
		if err != nil {
			return fmt.Errorf("%s: %w", op, &EventError{Index: i, Err: err})
		}
	}
	body, err := json.Marshal(struct {
		Name     string   `json:"name"`
		Channels []string `json:"channels"`
		Data     string   `json:"data"`
	}{name, channels, string(data)})
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return c.post(ctx, op, "/apps/"+c.cfg.AppID+"/events", body)
}

// post makes one signed request with a body.
func (c *Client) post(ctx context.Context, op, path string, body []byte) error {
	request := append([]byte("POST "), path...)
	request = c.appendQuery(append(request, '?'), path, body, c.cfg.Now())
	request = append(request, c.batchHead...)
	request = append(strconv.AppendInt(request, int64(len(body)), 10), "\r\n\r\n"...)
	request = append(request, body...)
	return c.under(ctx, op, func(ctx context.Context) error {
		_, err := c.exchange(ctx, op, request)
		return err
	})
}
