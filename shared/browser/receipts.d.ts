// Built from shared/browser/src by `go generate ./shared/browser`: edit there.
import type { Options, Arrival } from './roomcast.js';
export interface SendOptions {
    /** The function's address, without a slash at the end. */
    url: string;
    /** The app's own supabase-js 2, for its session. */
    supabase?: any;
    /** Returns the user's access token, instead of supabase's; with renew, a newer one than the last. */
    token?: Options['token'];
    /** Seconds between two receipts of a room, at least. Default 60. */
    every?: number;
    /** Seconds after which a side has missed an event that the other one brought. Default 30. */
    grace?: number;
    /** The share of pages that report after the move how messages come. Default 0.01; 0: none. */
    sample?: number;
}
/** Returns the function to pass to createRoomcast as onSeen. */
export declare function sendReceipts(options: SendOptions): (arrival: Arrival) => void;
