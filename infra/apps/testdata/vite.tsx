import { Chat } from './chat'

export default function App() {
  return <Chat room="42" />
}
