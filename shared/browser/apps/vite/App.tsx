import { Room } from './Room'

export default function App() {
  return <Room id={new URLSearchParams(location.search).get('room') ?? ''} />
}
