// Built from shared/browser/src by `go generate ./shared/browser`: edit there.
import type { Options, Arrival } from './roomcast.js';
export interface SendOptions {
    /** Where the function is, without a slash at the end. */
    url: string;
    /** The app's own supabase-js 2, for its session. */
    supabase?: any;
    /** The user's access token, in place of supabase's; renew asks for a newer one than the last. */
    token?: Options['token'];
    /** Seconds between two receipts of a room, at least. Default 60. */
    every?: number;
    /** Seconds after which a side has missed an event that the other one brought. Default 30. */
    grace?: number;
    /** The share of pages that tell how messages come after the move. Default 0.01; 0: none. */
    sample?: number;
}
/** Returns what to give to createRoomcast as onSeen. */
export declare function sendReceipts(options: SendOptions): (arrival: Arrival) => void;
